// Reads `count` times 16 bytes, each thread eight of them at once. The sum is stored only where it has a value that zeros do not
// have, so that no load can be left out and nothing is written.
extern "C" __global__ void read_all(const uint4 *__restrict__ from, unsigned long long count, unsigned *__restrict__ to) {
    unsigned long long first = (unsigned long long)blockIdx.x * blockDim.x * 8 + threadIdx.x;
    uint4 words[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        unsigned long long at = first + (unsigned long long)i * blockDim.x;
        words[i] = at < count ? from[at] : make_uint4(0, 0, 0, 0);
    }
    unsigned sum = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) sum += words[i].x + words[i].y + words[i].z + words[i].w;
    if (sum == 0x9e3779b9u) *to = sum;
}
