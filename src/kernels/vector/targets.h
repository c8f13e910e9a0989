// Which instruction sets the vector kernels are compiled for: AVX2 and AVX-512. Highway also compiles for
// what the compiler's own flags promise; kernels never choose that one (the reference runs instead), and what
// needs wide vectors is left out there: #if HWY_TARGET <= HWY_AVX2. The encoders of quantize/ do run it, on
// old machines. To be included before Highway in every file that it compiles more than once.
#pragma once

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#endif
