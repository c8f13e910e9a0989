// What the searches of the quantised types try. The starts were chosen greedily on Gaussian blocks, each for
// what it adds to those before it. These few come within a per cent of the error of all candidates, which
// were some two hundred. With importances a block's extremes may matter little, so there are more starts, and
// farther ones.
#pragma once

#include <span>

namespace longspan {

// Where the fit of x ~ scale * code + offset, code in [0, top], starts: the codes that the smallest and the
// largest value would get if codes had no bounds, the latter as a distance above the top code. Values beyond
// the bounds are clipped, for the others' sake.
struct LineStart {
  float low, beyond;
};

// Offsets of integers from the nearest: of the scale, and of the min from the one that suits that scale.
struct IntegerTry {
  float scale, min;
};

// For super-blocks with a scale and a min for each sub-block (k_affine-inl.h).
struct AffineSearch {
  std::span<const LineStart> starts;
  int rounds;                       // of a sub-block's fit, after the starts
  std::span<const float> integers;  // that the largest scale and the largest min may become; so d and dmin
  std::span<const IntegerTry> tries;
  int turns;               // of integers, then d and dmin
  float lengthen = 0;      // the part that Lengthening makes up for
  bool emphasise = false;  // values by their size, with importances
};

// For super-blocks with a scale for each sub-block (k_symmetric-inl.h).
struct SymmetricSearch {
  std::span<const float> starts;  // codes of the value farthest from zero
  int rounds;
  std::span<const float> integers;  // that the largest scale may become, and so d
  std::span<const float> tries;     // integers beside the nearest
  int turns;
  float lengthen = 0;
  bool emphasise = false;
};

// ---- Starts. Starts with the same distance between the ends, such as {1, -1} and {0, -2}, fit alike if
// nothing is clipped. So the starts below have the smallest value at code 0, and values that were quantised
// once come out the same again.

inline constexpr LineStart kStarts2[] = {{0, 0},        {-0.3f, 0.3f}, {0, 0.5f},     {-0.5f, 0},
                                         {-0.2f, 0.4f}, {-0.4f, 0.2f}, {-0.6f, -0.1f}};
inline constexpr LineStart kWeightedStarts2[] = {{0, 0},         {-0.4f, 0.4f},  {0.2f, 0.6f},
                                                 {-0.6f, -0.2f}, {0.6f, 0.6f},   {-0.5f, 0.1f},
                                                 {-0.2f, 0.6f},  {-0.6f, -0.4f}, {0.5f, 0.6f}};

inline constexpr LineStart kStarts4[] = {{0, 0},  {-0.25f, 0.25f}, {0.25f, 0.5f}, {-0.25f, -0.25f},
                                         {0, -1}, {0, 0.25f},      {-0.5f, 0},    {0.25f, -0.25f},
                                         {0, -2}, {0.25f, -0.75f}};
inline constexpr LineStart kWeightedStarts4[] = {
    {0, 0},          {-0.25f, 0.25f}, {-0.75f, -0.25f}, {1, -0.25f},     {0, 0.75f},  {0.5f, -0.75f},
    {-0.75f, 0.25f}, {1.75f, -1},     {-0.5f, 0.75f},   {0.25f, -0.25f}, {0, -0.75f}, {0.25f, -2.25f},
    {0.25f, 0.75f},  {-0.75f, 0.75f}, {0.25f, 0.25f},   {2, -2}};

inline constexpr LineStart kStarts5[] = {{0, 0},  {0, -1},   {0, 0.5f},  {-0.5f, 0}, {0, -2},
                                         {0, -3}, {0.5f, 0}, {0, -0.5f}, {0, -4},    {-0.5f, 0.5f}};
inline constexpr LineStart kWeightedStarts5[] = {
    {0, 0},  {0, -1},    {0, -2},   {-1, 0}, {0, -3},    {-0.5f, 1}, {0, -4},    {0, 1.5f},
    {0, -5}, {-0.5f, 0}, {0, 0.5f}, {0, -6}, {0, -1.5f}, {-1.5f, 0}, {-1.5f, 1}, {0.5f, -1}};

inline constexpr float kStarts3[] = {-4, -4.2f, -3.4f, -4.8f, -3.8f, -2.9f};
inline constexpr float kWeightedStarts3[] = {-4, -4.4f, -3.4f, -5.1f, 4.1f, -3.9f, -2.5f, -2.8f};
inline constexpr float kSignedStarts4[] = {-8, -8.2f, -7.2f, -8.8f, -7.8f, -8.4f};
inline constexpr float kWeightedSignedStarts4[] = {-8, -8.4f, -7.2f, -9, -6.2f, -7.8f, 8};
inline constexpr float kSignedStarts5[] = {-16, 15, -16.4f, -14, -15.6f, -16.8f};
inline constexpr float kWeightedSignedStarts5[] = {-16, 14.6f, -16.8f, -13.2f, -14, -15.2f, -12, -10.8f};
inline constexpr float kStarts6[] = {-32, 31, 30.2f, -28.8f, -28, 27};
inline constexpr float kWeightedStarts6[] = {-32, -29.6f, 27.8f, 31, -24.8f, -26.4f, -28.8f, -32.8f, 23, 27};

// ---- Integers.

inline constexpr float kIntegersOf63[] = {63, 62, 61, 60, 62.5f, 59, 58};
inline constexpr float kIntegersOf15[] = {15, 14.5f, 14, 13.5f, 13, 12, 15.5f};
inline constexpr IntegerTry kScales[] = {{0, 0}, {1, 0}, {-1, 0}};
inline constexpr IntegerTry kScalesAndMins[] = {{0, 0}, {1, 0}, {-1, 0}, {0, 1}, {0, -1}};

inline constexpr float kIntegersOf32[] = {-32, -31.5f, -31, -30.5f, -30, -29, 31};
inline constexpr float kIntegersOf128[] = {-128, -127, -126, -124};
inline constexpr float kBeside[] = {0, 1, -1};

// ---- The searches.

inline constexpr AffineSearch kPlainQ2_K{kStarts2, 1, kIntegersOf15, kScalesAndMins, 1, 0.8f};
inline constexpr AffineSearch kWeightedQ2_K{
    kWeightedStarts2, 1, kIntegersOf15, kScalesAndMins, 1, 0.8f, true};
inline constexpr AffineSearch kPlainQ4_K{kStarts4, 1, kIntegersOf63, kScales, 1};
inline constexpr AffineSearch kWeightedQ4_K{kWeightedStarts4, 1, kIntegersOf63, kScalesAndMins, 1, 0, true};
inline constexpr AffineSearch kPlainQ5_K{kStarts5, 1, kIntegersOf63, kScales, 1};
inline constexpr AffineSearch kWeightedQ5_K{kWeightedStarts5, 1, kIntegersOf63, kScalesAndMins, 1};

inline constexpr SymmetricSearch kPlainQ3_K{kStarts3, 1, kIntegersOf32, kBeside, 0, 0.5f};
inline constexpr SymmetricSearch kWeightedQ3_K{kWeightedStarts3, 1, kIntegersOf32, kBeside, 0, 0.5f, true};
inline constexpr SymmetricSearch kPlainQ6_K{kStarts6, 1, kIntegersOf128, kBeside, 0};
inline constexpr SymmetricSearch kWeightedQ6_K{kWeightedStarts6, 1, kIntegersOf128, kBeside, 0};

}  // namespace longspan
