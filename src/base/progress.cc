#include "base/progress.h"

namespace longspan {

Progress& NoProgress() {
  static Progress silent;
  return silent;
}

}  // namespace longspan
