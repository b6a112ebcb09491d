//! The driver's objects, each given back when it is dropped. They are used by the thread that has made them, in which
//! the context of their GPU is current.
use super::{CudaError, Gpu};
use cudarc::driver::{
    result,
    sys::{self, CUfunction, CUfunction_attribute as Attribute},
};
use std::{
    ffi::{CString, c_void},
    ptr, slice,
};

/// What is dropped while nobody can be told that it failed: a lost GPU has lost these, too.
fn ignore<T>(_: Result<T, cudarc::driver::DriverError>) {}

/// Work that is done in order.
pub struct Stream {
    stream: sys::CUstream,
    gpu: Gpu,
}

impl Stream {
    /// A stream of the GPU that is current.
    pub fn new(gpu: &Gpu) -> Result<Stream, CudaError> {
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(|error| CudaError::call("making a stream", error))?;
        Ok(Stream { stream, gpu: gpu.clone() })
    }

    /// Waits until all its work is done.
    pub fn wait(&self, doing: &str) -> Result<(), CudaError> {
        // SAFETY: the stream lives.
        unsafe { result::stream::synchronize(self.stream) }.map_err(|error| CudaError::call(doing, error))
    }

    /// Copies to the device. The bytes may be changed again when the stream has come to the end of this.
    ///
    /// # Safety
    /// `from` stays as it is until then, and `to` has room for it.
    pub unsafe fn upload(&self, to: u64, from: &[u8]) -> Result<(), CudaError> {
        // SAFETY: promised by the caller.
        let done = unsafe { result::memcpy_htod_async(to, from, self.stream) };
        done.map_err(|error| CudaError::call("copying to the GPU", error))
    }

    /// Copies from the device; the bytes are there when the stream has come to the end of this.
    ///
    /// # Safety
    /// `to` lives until then and is not looked at, and `from` has as many bytes.
    pub unsafe fn download(&self, to: &mut [u8], from: u64) -> Result<(), CudaError> {
        // SAFETY: promised by the caller.
        let done = unsafe { result::memcpy_dtoh_async(to, from, self.stream) };
        done.map_err(|error| CudaError::call("copying from the GPU", error))
    }

    /// Copies on the device.
    ///
    /// # Safety
    /// There are `len` bytes at both addresses until the stream has come to the end of this, and they do not overlap.
    pub unsafe fn copy(&self, to: u64, from: u64, len: usize) -> Result<(), CudaError> {
        // SAFETY: promised by the caller.
        let done = unsafe { result::memcpy_dtod_async(to, from, len, self.stream) };
        done.map_err(|error| CudaError::call("copying on the GPU", error))
    }

    /// Copies from the device to memory that others may look at, too.
    ///
    /// # Safety
    /// There are `len` bytes at both addresses, which live until the stream has come to the end of this; nobody looks at them
    /// before.
    pub unsafe fn download_to(&self, to: *mut u8, from: u64, len: usize) -> Result<(), CudaError> {
        // SAFETY: promised by the caller.
        let done = unsafe { sys::cuMemcpyDtoHAsync_v2(to.cast(), from, len, self.stream) };
        done.result().map_err(|error| CudaError::call("copying from the GPU", error))
    }

    /// The driver's name for it.
    pub fn handle(&self) -> sys::CUstream {
        self.stream
    }

    /// Sets a whole memory to zero.
    pub fn zero(&self, memory: &DeviceMemory) -> Result<(), CudaError> {
        // SAFETY: the memory has as many bytes, and outlives the stream's work: freeing it waits for that.
        let done = unsafe { result::memset_d8_async(memory.address, 0, memory.len, self.stream) };
        done.map_err(|error| CudaError::call("clearing memory", error))
    }

    /// Starts a kernel: `grid` CTAs of `threads`, each with `shared` bytes. Each value holds a parameter in its first bytes.
    ///
    /// # Safety
    /// The values are what the kernel takes, and all memory that it reaches by them lives until it is done.
    pub unsafe fn launch(
        &self,
        function: CUfunction,
        (grid, threads, shared): (u32, u32, u32),
        values: &mut [u64],
    ) -> Result<(), cudarc::driver::DriverError> {
        let mut pointers = pointers(values);
        // SAFETY: promised by the caller; the driver copies the values before it returns.
        unsafe { result::launch_kernel(function, (grid, 1, 1), (threads, 1, 1), shared, self.stream, &mut pointers) }
    }

    /// The same for a kernel that itself waits for the launch before it, as all that kgen emits do: it may start earlier, where
    /// the GPU can do that.
    ///
    /// # Safety
    /// As for [`Stream::launch`]; and the kernel waits before it touches what others write.
    pub unsafe fn launch_early(
        &self,
        function: CUfunction,
        (grid, threads, shared): (u32, u32, u32),
        values: &mut [u64],
    ) -> Result<(), cudarc::driver::DriverError> {
        if !self.gpu.arch().overlaps_launches() {
            // SAFETY: promised by the caller.
            return unsafe { self.launch(function, (grid, threads, shared), values) };
        }
        let mut pointers = pointers(values);
        let mut early = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let config = sys::CUlaunchConfig {
            gridDimX: grid,
            gridDimY: 1,
            gridDimZ: 1,
            blockDimX: threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: shared,
            hStream: self.stream,
            attrs: &mut early,
            numAttrs: 1,
        };
        // SAFETY: promised by the caller; the driver copies the values and the attribute before it returns.
        unsafe { sys::cuLaunchKernelEx(&config, function, pointers.as_mut_ptr(), ptr::null_mut()) }.result()
    }
}

/// Where the values of a launch are.
fn pointers(values: &mut [u64]) -> Vec<*mut c_void> {
    values.iter_mut().map(|value| (&raw mut *value).cast()).collect()
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        unsafe {
            ignore(result::stream::synchronize(self.stream));
            ignore(result::stream::destroy(self.stream));
        }
    }
}

/// A point in a stream's work.
pub struct Event(sys::CUevent);

impl Event {
    /// A point that is not set yet: waiting for it does not wait.
    pub fn new() -> Result<Event, CudaError> {
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
        Ok(Event(event.map_err(|error| CudaError::call("making an event", error))?))
    }

    /// Sets it to what the stream has to do until now.
    pub fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both live.
        unsafe { result::event::record(self.0, stream.stream) }.map_err(|e| CudaError::call("copying to the GPU", e))
    }

    /// Waits until that is done.
    pub fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: it lives.
        unsafe { result::event::synchronize(self.0) }.map_err(|error| CudaError::call("copying to the GPU", error))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        ignore(unsafe { result::event::destroy(self.0) });
    }
}

/// Memory of the GPU, aligned to 256 bytes.
pub struct DeviceMemory {
    address: u64,
    len: usize,
    _gpu: Gpu,
}

impl DeviceMemory {
    /// Takes at least 1 byte; `what` is named where there is no room.
    pub fn new(gpu: &Gpu, len: usize, what: &str) -> Result<DeviceMemory, CudaError> {
        // SAFETY: the memory is written before a kernel reads it, as the plan's check says.
        let address = unsafe { result::malloc_sync(len.max(1)) };
        let address = address.map_err(|error| CudaError::call(&format!("taking {len} bytes for {what}"), error))?;
        Ok(DeviceMemory { address, len, _gpu: gpu.clone() })
    }

    /// Where it is.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // SAFETY: taken by `new`, freed once; the driver waits for work that uses it.
        ignore(unsafe { result::free_sync(self.address) });
    }
}

/// Memory of the host that the GPU copies from and to without detours.
pub struct Pinned {
    ptr: *mut u8,
    len: usize,
    _gpu: Gpu,
}

impl Pinned {
    /// Zeroed bytes.
    pub fn new(gpu: &Gpu, len: usize) -> Result<Pinned, CudaError> {
        // SAFETY: written before it is read, just below.
        let ptr = unsafe { result::malloc_host(len.max(1), 0) };
        let doing = || format!("taking {len} bytes of memory that the GPU can copy from");
        let ptr = ptr.map_err(|error| CudaError::call(&doing(), error))?.cast::<u8>();
        // SAFETY: there are as many bytes.
        unsafe { ptr::write_bytes(ptr, 0, len) };
        Ok(Pinned { ptr, len, _gpu: gpu.clone() })
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: as many bytes were taken and written.
        unsafe { slice::from_raw_parts(self.ptr, self.len) }
    }

    /// Where it is.
    pub fn address(&self) -> *mut u8 {
        self.ptr
    }

    /// All bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed alone.
        unsafe { slice::from_raw_parts_mut(self.ptr, self.len) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: taken by `new`, freed once.
        ignore(unsafe { result::free_host(self.ptr.cast()) });
    }
}

/// Loaded machine code with one kernel.
pub struct Module {
    module: sys::CUmodule,
    /// The kernel.
    pub function: CUfunction,
    _gpu: Gpu,
}

impl Module {
    /// Loads a cubin and finds its kernel.
    pub fn load(gpu: &Gpu, cubin: &[u8], entry: &str) -> Result<Module, CudaError> {
        let doing = format!("loading the kernel {entry}");
        let failed = |error| CudaError::call(&doing, error);
        // SAFETY: a cubin carries its own length.
        let module = unsafe { result::module::load_data(cubin.as_ptr().cast()) }.map_err(failed)?;
        let mut module = Module { module, function: ptr::null_mut(), _gpu: gpu.clone() };
        let name = CString::new(entry).map_err(|_| CudaError::new(format!("{doing}: a bad name"), ""))?;
        // SAFETY: the module is loaded.
        module.function = unsafe { result::module::get_function(module.module, name) }.map_err(failed)?;
        Ok(module)
    }

    /// The most threads of a CTA that its registers allow.
    pub fn most_threads(&self) -> Result<u32, CudaError> {
        let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
        // SAFETY: the function is of this module.
        let threads = unsafe { result::function::get_function_attribute(self.function, attribute) };
        threads.map(|n| n.unsigned_abs()).map_err(|error| CudaError::call("asking for a kernel's threads", error))
    }

    /// Allows this much dynamic shared memory for a CTA; without it, 48 KiB are the most.
    pub fn allow_shared(&self, bytes: u32) -> Result<(), CudaError> {
        let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function is of this module.
        let done = unsafe { result::function::set_function_attribute(self.function, attribute, bytes as i32) };
        done.map_err(|error| CudaError::call(&format!("asking for {bytes} bytes of shared memory"), error))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded by `load`, unloaded once.
        ignore(unsafe { result::module::unload(self.module) });
    }
}
