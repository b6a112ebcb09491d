//! Work that was put on a stream once, to be started again as a whole.
use super::{CudaError, driver::Stream};
use cudarc::driver::{result, sys};

/// Recorded work. Everything that it reaches by address must live as long as it is started.
pub struct Graph(sys::CUgraphExec);

impl Graph {
    /// Records what `work` puts on the stream; nothing of it is done yet.
    pub fn record<E: From<CudaError>>(stream: &Stream, work: impl FnOnce() -> Result<(), E>) -> Result<Graph, E> {
        let failed = |error| E::from(CudaError::call("recording a step", error));
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives, and nothing else is being recorded on it.
        unsafe { result::stream::begin_capture(stream.handle(), mode) }.map_err(failed)?;
        let done = work();
        // SAFETY: begun above. It is ended also where the work has failed.
        let graph = unsafe { result::stream::end_capture(stream.handle()) };
        let graph = match (done, graph) {
            (Ok(()), graph) => graph.map_err(failed)?,
            (Err(error), graph) => {
                // SAFETY: what was recorded until then is given back.
                let _ = graph.map(|graph| unsafe { result::graph::destroy(graph) });
                return Err(error);
            }
        };
        // SAFETY: the graph was just made, and is given back once it was instantiated.
        unsafe {
            let flags = sys::CUgraphInstantiate_flags(0);
            let started = result::graph::instantiate(graph, flags);
            let _ = result::graph::destroy(graph);
            started.map(Graph).map_err(failed)
        }
    }

    /// Puts all of it on the stream.
    pub fn start(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both live.
        let started = unsafe { result::graph::launch(self.0, stream.handle()) };
        started.map_err(|error| CudaError::call("starting a step", error))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `record`, destroyed once; a GPU that is lost has lost it, too.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}
