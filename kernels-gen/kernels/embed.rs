//! The rows of the embedding table that belong to the tokens.

#[kernel(W = [has(value)])]
fn embed<W: Format, T: Dim, V: Dim, B: Dim>(
    table: &Ten<W, V, B>,
    tokens: &Ten<Index<V>, T>,
    y: &mut Ten<f32, T, B, { W::ELEMENTS }>,
) {
    for t in par(T) {
        for b in par(B) {
            for e in par(W::ELEMENTS) {
                y[t][b][e] = table[tokens[t]][b].value(e);
            }
        }
    }
}

#[kernel(W = [f16, bf16, f32])]
fn embed_row<W: Float, T: Dim, V: Dim, K: Dim>(
    table: &Ten<W, V, K>,
    tokens: &Ten<Index<V>, T>,
    y: &mut Ten<f32, T, K>,
) {
    for t in par(T) {
        for k in par(K) {
            y[t][k] = table[tokens[t]][k].f32();
        }
    }
}
