// The instruction sets that products of bytes are compiled for: AVX2, and AVX-512 with VNNI. Include this
// before Highway in every file of int8/ that Highway compiles more than once (see base/vector_targets.h).
#pragma once

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3)
#endif
#ifndef HWY_WANT_AVX3_DL
#define HWY_WANT_AVX3_DL
#endif
