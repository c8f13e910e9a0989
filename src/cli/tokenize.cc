// longspan tokenize: text to ids and back.
#include <fmt/format.h>

#include <charconv>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "formats/gguf_reader.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"
#include "text/warnings.h"

namespace longspan {
namespace {

struct Options {
  std::string model, text, file, decode;
  bool special = false, bos = false, count = false, json = false;
};

// Ids as people paste them: separated by spaces or commas, perhaps in brackets.
std::vector<std::int32_t> ParseIds(const std::string& text) {
  constexpr const char* kSeparators = " \t\n,[]";
  std::vector<std::int32_t> ids;
  for (std::size_t begin = text.find_first_not_of(kSeparators); begin != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_of(kSeparators, begin), text.size());
    std::int32_t id = 0;
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, id);
    if (error != std::errc() || stop != text.data() + end) {
      Fail(ErrorKind::kBadOption, "--decode: \"{}\" is not a token id", text.substr(begin, end - begin));
    }
    ids.push_back(id);
    begin = text.find_first_not_of(kSeparators, end);
  }
  return ids;
}

// A piece on one line, whatever bytes it has.
std::string Quoted(std::string_view piece) {
  std::string quoted = "\"";
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n')
      quoted += "\\n";
    else if (c == '\t')
      quoted += "\\t";
    else if (c == '"' || c == '\\')
      quoted.append({'\\', c});
    else if (byte < 0x20 || byte == 0x7F)
      quoted += fmt::format("\\x{:02x}", byte);
    else
      quoted += c;
  }
  return quoted + '"';
}

// A piece may be part of a character, which JSON cannot hold.
std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string Input(const Options& options, bool given) {
  if (given) return options.text;
  if (!options.file.empty() && options.file != "-") return ReadFile(options.file);
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

void PrintText(const Tokenizer& tokenizer, const Options& options) {
  const std::string text = tokenizer.Decode(ParseIds(options.decode), {.special = options.special});
  if (options.json)
    fmt::print("{}\n", Dump({{"text", text}}));
  else
    fmt::print("{}\n", text);
}

void PrintIds(const Tokenizer& tokenizer, const Options& options, const std::string& text) {
  const auto ids = tokenizer.Encode(text, {.parse_special = options.special, .add_bos = options.bos});
  if (options.bos) WarnOfTwoBos(tokenizer, ids, "leave out --bos or the one in the text", Terminal());
  WarnOfBytesLeftOut(tokenizer, Terminal());
  if (options.json) {
    nlohmann::json json = {{"bytes", text.size()}, {"count", ids.size()}};
    if (!options.count) {
      json["ids"] = ids;
      json["pieces"] = nlohmann::json::array();
      for (const std::int32_t id : ids) json["pieces"].push_back(tokenizer.Piece(id));
    }
    fmt::print("{}\n", Dump(json));
  } else if (options.count) {
    fmt::print("{}\n", ids.size());
  } else {
    for (const std::int32_t id : ids) fmt::print("{:>7}  {}\n", id, Quoted(tokenizer.Piece(id)));
  }
}

}  // namespace

void AddTokenize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "Show how a model cuts text into tokens");
  command->add_option("MODEL", options->model, "GGUF file with a vocabulary")
      ->required()
      ->check(CLI::ExistingFile);
  CLI::Option* text =
      command->add_option("TEXT", options->text, "Text to tokenize (default: from --file or stdin)");
  CLI::Option* file =
      command->add_option("--file", options->file, "File to tokenize; - is stdin")->excludes(text);
  CLI::Option* decode =
      command->add_option("--decode", options->decode, "Ids to turn into text, such as \"9906,1917\"")
          ->excludes(text)
          ->excludes(file);
  command->add_flag("--special", options->special, "Read special tokens in text; write them when decoding");
  command->add_flag("--bos", options->bos, "Put the begin-of-text token in front")->excludes(decode);
  command->add_flag("--count", options->count, "Print only how many tokens there are")->excludes(decode);
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example:\n  longspan tokenize model.gguf \"Hello world\" --bos");
  command->callback([options, text, decode] {
    const auto tokenizer = Tokenizer::Make(ReadVocabulary(GgufFile::Open(options->model)->metadata()));
    WarnAbout(tokenizer->vocabulary(), Terminal());
    if (decode->count() > 0)
      PrintText(*tokenizer, *options);
    else
      PrintIds(*tokenizer, *options, Input(*options, text->count() > 0));
  });
}

}  // namespace longspan
