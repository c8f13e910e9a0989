// The instruction sets that vector code is compiled for: AVX2, AVX-512, and the compiler's own baseline.
// Kernels never choose the baseline (the reference runs instead), so code that needs wide vectors is left out
// there with #if HWY_TARGET <= HWY_AVX2. The encoders of encode/ do use the baseline on old machines. Include
// this before Highway in every file that Highway compiles more than once.
#pragma once

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#endif
