// Helpers for tests of errors.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace longspan {

// The message of the Error that `call` throws; empty if it throws none.
template <class Call>
std::string ErrorOf(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

// The kind of the Error that `call` must throw.
template <class Call>
ErrorKind KindOf(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "expected an Error";
  return ErrorKind::kInternal;
}

}  // namespace longspan
