#include "base/function_ref.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

namespace longspan {
namespace {

std::string Twice(FunctionRef<std::string(const std::string&)> f) { return f(f("x")); }

TEST(FunctionRef, CallsWhatItRefersTo) {
  int calls = 0;
  auto count = [&](const std::string& s) mutable { return ++calls, s + "y"; };
  EXPECT_EQ(Twice(count), "xyy");
  EXPECT_EQ(calls, 2);
  const std::function<std::string(const std::string&)> z = [](const std::string& s) { return s + "z"; };
  EXPECT_EQ(Twice(z), "xzz");
  EXPECT_EQ(Twice([](const std::string& s) { return s; }), "x");
}

// The callable's own state changes, not a copy's.
TEST(FunctionRef, DoesNotCopy) {
  struct Counter {
    int calls = 0;
    void operator()(std::unique_ptr<int> by) { calls += *by; }
  } counter;
  const FunctionRef<void(std::unique_ptr<int>)> f = counter, g = f;
  f(std::make_unique<int>(1));
  g(std::make_unique<int>(2));
  EXPECT_EQ(counter.calls, 3);
}

}  // namespace
}  // namespace longspan
