"""A real GPU with the methods of gpu.py's, by the CUDA driver's API: a kernel of multiplications, as long as is asked for.

Needs libcuda.so.1, which the driver brings, and no package. It has no collective operation.
"""

import ctypes
import time

SPIN, BLOCK = 1, 4
THREADS, BLOCKS_OF_EACH = 256, 8
MULTIPROCESSORS = 16

PTX = b"""
.version 6.0
.target sm_70
.address_size 64
.visible .entry work(.param .u64 place, .param .u32 rounds)
{
  .reg .pred %p<2>;
  .reg .f32 %f<10>;
  .reg .b32 %r<4>;
  .reg .b64 %d<2>;
  ld.param.u64 %d0, [place];
  ld.param.u32 %r0, [rounds];
  mov.u32 %r1, %tid.x;
  cvt.rn.f32.u32 %f0, %r1;
  mov.f32 %f8, 0f3F7FFFFF;
  mov.f32 %f9, 0f3F000000;
  add.f32 %f1, %f0, %f9;
  add.f32 %f2, %f1, %f9;
  add.f32 %f3, %f2, %f9;
  mov.u32 %r2, 0;
again:
  fma.rn.f32 %f0, %f0, %f8, %f9;
  fma.rn.f32 %f1, %f1, %f8, %f9;
  fma.rn.f32 %f2, %f2, %f8, %f9;
  fma.rn.f32 %f3, %f3, %f8, %f9;
  fma.rn.f32 %f0, %f0, %f8, %f9;
  fma.rn.f32 %f1, %f1, %f8, %f9;
  fma.rn.f32 %f2, %f2, %f8, %f9;
  fma.rn.f32 %f3, %f3, %f8, %f9;
  add.u32 %r2, %r2, 1;
  setp.lt.u32 %p0, %r2, %r0;
  @%p0 bra again;
  add.f32 %f0, %f0, %f1;
  add.f32 %f2, %f2, %f3;
  add.f32 %f0, %f0, %f2;
  setp.eq.f32 %p1, %f0, 0f00000000;
  @%p1 st.global.f32 [%d0], %f0;
  ret;
}
\0"""


class CudaGpu:
    """One process's share in one GPU."""

    def __init__(self, ordinal, memory):
        self.ordinal = ordinal
        self.bytes = memory
        self.spins = False
        self.rounds_a_second = 0.0

    def attach(self):
        """Takes the GPU; only after the loader's workers were forked, as CUDA does not outlive a fork."""
        self.cuda = ctypes.CDLL("libcuda.so.1")
        self._call("cuInit", 0)
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), self.ordinal)
        self._call("cuDevicePrimaryCtxSetFlags_v2", device, SPIN if self.spins else BLOCK)
        context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        count = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(count), MULTIPROCESSORS, device)
        self.blocks = count.value * BLOCKS_OF_EACH
        self.place = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(self.place), ctypes.c_size_t(self.bytes))
        module, self.work = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), PTX)
        self._call("cuModuleGetFunction", ctypes.byref(self.work), module, b"work")
        self._calibrate()

    def launch(self, _kind, seconds):
        """Queues work that takes so long, and returns at once."""
        self._launch(max(1, int(seconds * self.rounds_a_second)))

    def wait(self, _spin=False):
        """Waits until all that was queued is done."""
        self._call("cuCtxSynchronize")

    def _calibrate(self):
        self._launch(1000)
        self.wait()
        rounds = 20_000
        while True:
            begun = time.monotonic()
            self._launch(rounds)
            self.wait()
            took = time.monotonic() - begun
            if took > 0.1:
                self.rounds_a_second = rounds / took
                return
            rounds *= 4

    def _launch(self, rounds):
        count = ctypes.c_uint32(rounds)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(self.place), ctypes.addressof(count))
        self._call("cuLaunchKernel", self.work, self.blocks, 1, 1, THREADS, 1, 1, 0, None, values, None)

    def _call(self, name, *words):
        if code := getattr(self.cuda, name)(*words):
            raise RuntimeError(f"{name} returned {code}")
