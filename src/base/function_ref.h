// A callable passed to a function that calls it before it returns: std::function without a copy of the
// callable.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace longspan {

template <class Signature>
class FunctionRef;

// Refers to a callable object, which must outlive it. Plain functions are not objects and are not accepted.
template <class Result, class... Arguments>
class FunctionRef<Result(Arguments...)> {
 public:
  template <class Callable>
  requires(std::is_object_v<std::remove_reference_t<Callable>> &&
           !std::same_as<std::remove_cvref_t<Callable>, FunctionRef> &&
           std::is_invocable_r_v<Result, Callable&, Arguments...>)
      FunctionRef(Callable&& callable)  // implicit, as std::function is
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object, Arguments... arguments) -> Result {
          return (*static_cast<std::remove_reference_t<Callable>*>(object))(
              std::forward<Arguments>(arguments)...);
        }) {}

  Result operator()(Arguments... arguments) const {
    return call_(object_, std::forward<Arguments>(arguments)...);
  }

 private:
  void* object_;
  Result (*call_)(void*, Arguments...);
};

}  // namespace longspan
