//! Work that a GPU does in order, recorded work, and how long it takes.
use super::{Function, Gpu, GpuError, failed};
use cudarc::driver::{result, sys};
use std::ffi::c_void;
use std::ptr;

/// Work that is done in order.
#[derive(Debug)]
pub struct Stream {
    stream: sys::CUstream,
    /// Whether a launch may start while the one before it is at work.
    overlaps: bool,
}

impl Stream {
    /// A stream of the GPU, which is that of this thread.
    pub fn new(gpu: &Gpu) -> Result<Stream, GpuError> {
        let kind = result::stream::StreamKind::NonBlocking;
        let stream = result::stream::create(kind).map_err(failed("making a stream"))?;
        Ok(Stream { stream, overlaps: gpu.arch.overlaps_launches() })
    }

    /// Waits until all its work is done.
    pub fn wait(&self) -> Result<(), GpuError> {
        // SAFETY: the stream lives.
        unsafe { result::stream::synchronize(self.stream) }.map_err(failed("running kernels"))
    }

    /// Starts a kernel: CTAs, threads of each, and bytes of dynamic shared memory of each. Where the GPU can do that, it starts
    /// before the launch before it has ended, as in `apr`.
    ///
    /// # Safety
    /// The values are the kernel's parameters, each in its first bytes; what they point to lives until it is done; and the kernel
    /// waits by itself for the launch before it, as all do that kgen emits.
    pub unsafe fn launch(
        &self,
        function: Function,
        [grid, threads, shared]: [usize; 3],
        values: &mut [u64],
    ) -> Result<(), GpuError> {
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| (&raw mut *value).cast()).collect();
        let mut early = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let config = sys::CUlaunchConfig {
            gridDimX: grid as u32,
            gridDimY: 1,
            gridDimZ: 1,
            blockDimX: threads as u32,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: shared as u32,
            hStream: self.stream,
            attrs: &mut early,
            numAttrs: self.overlaps.into(),
        };
        // SAFETY: promised by the caller; the driver copies the values and the attribute before it returns.
        unsafe { sys::cuLaunchKernelEx(&config, function.0, pointers.as_mut_ptr(), ptr::null_mut()) }
            .result()
            .map_err(failed("starting a kernel"))
    }

    /// Seconds of the GPU from the beginning of some work to its end.
    pub fn seconds(&self, work: impl FnOnce() -> Result<(), GpuError>) -> Result<f64, GpuError> {
        let (begin, end) = (Event::new()?, Event::new()?);
        begin.record(self)?;
        work()?;
        end.record(self)?;
        self.wait()?;
        // SAFETY: both were recorded, and their work is done.
        let milliseconds = unsafe { result::event::elapsed(begin.0, end.0) }.map_err(failed("timing kernels"))?;
        Ok(f64::from(milliseconds) / 1e3)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once. Where the GPU was lost, so was this.
        unsafe {
            let _ = result::stream::synchronize(self.stream);
            let _ = result::stream::destroy(self.stream);
        }
    }
}

/// A point in a stream's work.
struct Event(sys::CUevent);

impl Event {
    fn new() -> Result<Event, GpuError> {
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT);
        event.map(Event).map_err(failed("making an event"))
    }

    fn record(&self, stream: &Stream) -> Result<(), GpuError> {
        // SAFETY: both live.
        unsafe { result::event::record(self.0, stream.stream) }.map_err(failed("timing kernels"))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}

/// Work that was put on a stream once, to be started as a whole.
#[derive(Debug)]
pub struct Graph(sys::CUgraphExec);

impl Graph {
    /// Records what `work` puts on the stream; nothing of it is done yet. What it reaches by address must live as long as it is
    /// started.
    pub fn record(stream: &Stream, work: impl FnOnce() -> Result<(), GpuError>) -> Result<Graph, GpuError> {
        let recording = failed("recording kernels");
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives, and nothing else is being recorded on it.
        unsafe { result::stream::begin_capture(stream.stream, mode) }.map_err(&recording)?;
        let done = work();
        // SAFETY: begun above. It is ended also where the work has failed.
        let graph = unsafe { result::stream::end_capture(stream.stream) }.map_err(&recording);
        let graph = match (done, graph) {
            (Ok(()), graph) => graph?,
            (Err(error), graph) => {
                // SAFETY: what was recorded until then is given back.
                let _ = graph.map(|graph| unsafe { result::graph::destroy(graph) });
                return Err(error);
            }
        };
        // SAFETY: the graph was just made, and is given back once it was instantiated.
        unsafe {
            let started = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            started.map(Graph).map_err(&recording)
        }
    }

    /// Puts all of it on the stream.
    pub fn start(&self, stream: &Stream) -> Result<(), GpuError> {
        // SAFETY: both live.
        unsafe { result::graph::launch(self.0, stream.stream) }.map_err(failed("starting kernels"))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `record`, destroyed once. Where the GPU was lost, so was this.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}
