#include "formats/json_reader.h"

#include <concepts>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "formats/byte_reader.h"
#include "formats/wrong_file.h"

namespace longspan {
namespace {

using nlohmann::json;

// Makes values from the parser's events (nlohmann's SAX interface). The library's own parser with a callback
// searches the whole parent at the end of every object, which is quadratic.
class JsonBuilder {
 public:
  JsonBuilder(std::string_view text, const std::string& file, const JsonLimits& limits,
              const JsonFilter& filter)
      : text_(text), file_(file), limits_(limits), filter_(filter) {}

  json Take() { return std::move(root_); }

  // The events, under the names that the library calls.
  bool null() { return Add(nullptr); }
  bool boolean(bool value) { return Add(value); }
  bool number_integer(json::number_integer_t value) { return Add(value); }
  bool number_unsigned(json::number_unsigned_t value) { return Add(value); }
  bool number_float(json::number_float_t value, const std::string&) { return Add(value); }
  bool string(std::string& value) { return Add(std::move(value)); }
  bool binary(json::binary_t&) { return false; }  // never occurs in a text
  bool start_object(std::size_t) { return Start(JsonEvent::object_start, json::object()); }
  bool start_array(std::size_t) { return Start(JsonEvent::array_start, json::array()); }
  bool end_object() { return End(JsonEvent::object_end); }
  bool end_array() { return End(JsonEvent::array_end); }

  bool key(std::string& name) {
    if (dropped_ > 0) return true;
    Open& open = open_.back();
    open.keeps_member = Keep(JsonEvent::key, name);
    if (!open.keeps_member) return true;
    bool fresh = false;
    std::tie(open.member, fresh) = Object().emplace(std::move(name), nullptr);
    if (!fresh) {
      Fail(ErrorKind::kInvalidFile, "{}: the key \"{}\" appears twice in one object", file_,
           Printable(open.member->first));
    }
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const json::exception& error) {
    RefuseWrongFile(text_, file_);
    std::string_view reason = error.what();  // "[json.exception.parse_error.101] parse error at line 1, ..."
    if (const auto end = reason.find("] "); end != reason.npos) reason.remove_prefix(end + 2);
    Fail(ErrorKind::kInvalidFile, "{}: not JSON: {}", file_, Printable(reason, 200));
  }

 private:
  // A list or object whose end has not been read.
  struct Open {
    json* value;
    std::size_t values_before;             // the number of values kept before it
    json::object_t::iterator member = {};  // in an object: the member of its last key
    bool keeps_member = true;
  };

  json::object_t& Object() { return open_.back().value->get_ref<json::object_t&>(); }
  json::array_t& Array() { return open_.back().value->get_ref<json::array_t&>(); }

  // Asks the filter, if there is one. `part` becomes JSON only for it.
  template <class Part>
  bool Keep(JsonEvent event, Part& part) const {
    if (!filter_) return true;
    if constexpr (std::same_as<Part, json>) {
      return filter_(Depth(), event, part);
    } else {
      json shown = part;
      return filter_(Depth(), event, shown);
    }
  }
  int Depth() const { return static_cast<int>(open_.size()); }

  bool Add(json value) {
    if (dropped_ > 0) return true;
    if (Keep(JsonEvent::value, value))
      Put(std::move(value));
    else
      DropMember();
    return true;
  }

  bool Start(JsonEvent event, json value) {
    if (dropped_ > 0) {
      ++dropped_;
    } else {
      const std::size_t before = values_;
      json none(json::value_t::discarded);
      json* place = Keep(event, none) ? Put(std::move(value)) : nullptr;
      if (place != nullptr) {
        open_.push_back({place, before});
      } else {
        DropMember();
        dropped_ = 1;
      }
    }
    if (Depth() + dropped_ > limits_.depth) {
      Fail(ErrorKind::kInvalidFile, "{}: JSON nested deeper than {}", file_, limits_.depth);
    }
    return true;
  }

  bool End(JsonEvent event) {
    if (dropped_ > 0) {
      --dropped_;
      return true;
    }
    const Open ended = open_.back();
    open_.pop_back();
    if (Keep(event, *ended.value)) return true;
    values_ = ended.values_before;
    if (open_.empty())
      root_ = nullptr;
    else if (open_.back().value->is_object())
      DropMember();
    else
      Array().pop_back();
    return true;
  }

  // Stores `value` and returns where it is, or nullptr if the key before it was not kept.
  json* Put(json value) {
    if (!open_.empty() && !open_.back().keeps_member) return nullptr;
    if (++values_ > limits_.values)
      Fail(ErrorKind::kInvalidFile, "{}: more than {} JSON values", file_, limits_.values);
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back().value->is_object()) return &(open_.back().member->second = std::move(value));
    return &Array().emplace_back(std::move(value));
  }

  // Takes back the key of a member whose value is not kept.
  void DropMember() {
    if (open_.empty() || !open_.back().value->is_object() || !open_.back().keeps_member) return;
    Object().erase(open_.back().member);
  }

  std::string_view text_;
  const std::string& file_;
  const JsonLimits& limits_;
  const JsonFilter& filter_;
  json root_;
  std::vector<Open> open_;
  std::size_t values_ = 0;
  int dropped_ = 0;  // lists and objects that are open and not kept
};

}  // namespace

json ParseJson(std::string_view text, const std::string& file, const JsonLimits& limits,
               const JsonFilter& filter) {
  if (text.size() > limits.bytes) {
    Fail(ErrorKind::kInvalidFile, "{}: {} bytes of JSON, expected at most {}", file, text.size(),
         limits.bytes);
  }
  JsonBuilder builder(text, file, limits, filter);
  json::sax_parse(text, &builder);
  return builder.Take();
}

}  // namespace longspan
