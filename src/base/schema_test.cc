#include "base/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/schema_reader.h"

namespace longspan {

// A configuration with a key of every type.
enum class Color { kRed, kBlue };
inline std::string_view Name(Color color) { return color == Color::kRed ? "red" : "blue"; }
template <>
inline constexpr int kEnumSize<Color> = 2;

struct Lamp {
  std::int64_t watts = 40;
};
struct House {
  std::string name = "a house";
  std::filesystem::path plan;
  std::int64_t rooms = 4;
  std::uint64_t seed = 1;
  int floors = 2;
  double area = 80.5;
  bool garden = false;
  Color color = Color::kRed;
  std::vector<std::string> people = {"Ann", "Bo"};
  std::vector<std::int64_t> sizes;
  std::optional<double> rent;
  std::optional<Lamp> lamp;
};

constexpr unsigned kLooks = 1, kSize = 2, kBuyer = 1;

template <Is<Lamp> T>
void Fields(T& f, auto& visit) {
  visit(Key{.name = "watts", .help = "Power", .unit = "W", .range = Range{1, 100}, .required = kEverybody},
        f.watts);
}
template <Is<House> T>
void Fields(T& f, auto& visit) {
  visit(Key{.name = "name", .help = "Name", .changes = kLooks}, f.name);
  visit(Key{.name = "plan", .help = "Plan", .required = kBuyer}, f.plan);
  visit.Section(Key{.name = "inside", .help = "Inside"}, [&] {
    visit(Key{.name = "rooms", .help = "Rooms", .range = Range{1, 100}, .changes = kSize}, f.rooms);
    visit(Key{.name = "floors", .help = "Floors", .range = Range{1, 100}, .changes = kSize}, f.floors);
    visit.Section(Key{.name = "lamp", .help = "A lamp"}, f.lamp);
  });
  visit(Key{.name = "seed", .help = "Seed"}, f.seed);
  visit(Key{.name = "area", .help = "Area", .unit = "m2", .range = Range{1, 1e6}, .changes = kSize}, f.area);
  visit(Key{.name = "garden", .help = "Garden", .changes = kLooks | kSize}, f.garden);
  visit(Key{.name = "color", .help = "Color", .changes = kLooks}, f.color);
  visit(Key{.name = "people", .help = "People"}, f.people);
  visit(Key{.name = "sizes", .help = "Sizes", .range = Range{1, 10}}, f.sizes);
  visit(Key{.name = "rent", .help = "Rent", .otherwise = "free"}, f.rent);
}

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

House Read(const std::string& text, unsigned use = 0) {
  House house;
  ReadKeys("dir/h.yml", ParseYaml("dir/h.yml", text), use, house);
  return house;
}

std::string ErrorOf(const std::string& text, unsigned use = 0) {
  try {
    Read(text, use);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidFile) << error.what();
    std::string message = error.what();
    EXPECT_TRUE(std::ranges::all_of(message, [](unsigned char c) { return c >= 0x20 && c < 0x7f; }))
        << message;
    EXPECT_LT(message.size(), 1000u);
    return message;
  }
  ADD_FAILURE() << "accepted: " << text.substr(0, 100);
  return {};
}

TEST(SchemaReader, ReadsEveryType) {
  const House house = Read(
      "name: 'x: y'\nplan: p/a.txt\ninside: {rooms: 5, floors: 3, lamp: {watts: 60}}\nseed: "
      "18446744073709551615\n"
      "area: 1_00.25e0\ngarden: true\ncolor: blue\npeople: Cy\nsizes: [1, 1_0]\nrent: 2e2\n");
  EXPECT_EQ(house.name, "x: y");
  EXPECT_EQ(house.plan, std::filesystem::path("dir/p/a.txt"));
  EXPECT_EQ(house.rooms, 5);
  EXPECT_EQ(house.floors, 3);
  EXPECT_EQ(house.lamp.value().watts, 60);
  EXPECT_EQ(house.seed, UINT64_MAX);
  EXPECT_EQ(house.area, 100.25);
  EXPECT_TRUE(house.garden);
  EXPECT_EQ(house.color, Color::kBlue);
  EXPECT_THAT(house.people, ElementsAre("Cy"));
  EXPECT_THAT(house.sizes, ElementsAre(1, 10));
  EXPECT_EQ(house.rent, 200);
}

TEST(SchemaReader, NothingGivenLeavesTheDefaults) {
  for (const char* text :
       {"", "---\n", "# only a comment\n", "inside:\n", "inside: ~\nseed:\n", "\xef\xbb\xbfseed:\n"}) {
    EXPECT_EQ(ListKeys(Read(text)).keys, ListKeys(House{}).keys) << text;
  }
  EXPECT_EQ(Read("\xef\xbb\xbfseed: 7\n").seed, 7u);  // a BOM is not part of the first key
}

TEST(SchemaReader, EachKindOfMistakeHasItsMessage) {
  EXPECT_EQ(ErrorOf("seed: 1\nroms: 4\n"), "dir/h.yml:2: roms: unknown key");
  EXPECT_EQ(ErrorOf("inside:\n  roms: 4\n"), "dir/h.yml:2: inside.roms: unknown key; did you mean 'rooms'?");
  EXPECT_EQ(ErrorOf("rooms: 4\n"), "dir/h.yml:1: rooms: unknown key; did you mean 'inside.rooms'?");
  EXPECT_EQ(ErrorOf("inside:\n  rooms: four\n"),
            "dir/h.yml:2: inside.rooms: expected an integer, found 'four'");
  EXPECT_EQ(ErrorOf("inside: {rooms: 4.0}\n"), "dir/h.yml:1: inside.rooms: expected an integer, found '4.0'");
  EXPECT_EQ(ErrorOf("inside: {rooms: [4]}\n"),
            "dir/h.yml:1: inside.rooms: expected an integer, found a list");
  EXPECT_EQ(ErrorOf("inside: {rooms: 0}\n"), "dir/h.yml:1: inside.rooms: expected 1 to 100, found 0");
  EXPECT_EQ(ErrorOf("inside: {floors: 101}\n"), "dir/h.yml:1: inside.floors: expected 1 to 100, found 101");
  EXPECT_EQ(ErrorOf("sizes: [1, 11]\n"), "dir/h.yml:1: sizes: expected 1 to 10, found 11");
  EXPECT_EQ(ErrorOf("sizes: [1, [2]]\n"), "dir/h.yml:1: sizes: expected an integer, found a list");
  EXPECT_EQ(ErrorOf("color: green\n"), "dir/h.yml:1: color: expected one of red, blue, found 'green'");
  EXPECT_EQ(ErrorOf("garden: yes\n"), "dir/h.yml:1: garden: expected true or false, found 'yes'");
  EXPECT_EQ(ErrorOf("plan: ''\n"), "dir/h.yml:1: plan: expected a path, found ''");
  EXPECT_EQ(ErrorOf("name: {a: b}\n"), "dir/h.yml:1: name: expected text, found a mapping");
  EXPECT_EQ(ErrorOf("inside: 3\n"), "dir/h.yml:1: inside: expected a mapping of keys, found '3'");
  EXPECT_EQ(ErrorOf("plan: x\ninside: {lamp: {}}\n", kBuyer),
            "dir/h.yml:2: inside.lamp.watts: is missing (Power)");
  EXPECT_EQ(ErrorOf("seed: 1\n", kBuyer), "dir/h.yml:1: plan: is missing (Plan)");
  EXPECT_EQ(ErrorOf("seed: 1\nplann: x\n", kBuyer), "dir/h.yml:2: plann: unknown key; did you mean 'plan'?");
  EXPECT_EQ(ErrorOf("seed: 1\nseed: 1\n"), "dir/h.yml:2: seed: given twice");
  EXPECT_EQ(ErrorOf("[a, b]\n"), "dir/h.yml:1: document: expected a mapping of keys, found a list");
}

// The parser's own message is "illegal map value".
TEST(SchemaReader, ATabIsNoIndentation) {
  EXPECT_EQ(ErrorOf("seed: 1\ninside:\n\trooms: 4\n"),
            "dir/h.yml:3: indented by a tab, which YAML does not allow; write spaces");
  EXPECT_EQ(ErrorOf("inside:\n  rooms: 4\n \t floors: 2\n"),
            "dir/h.yml:3: indented by a tab, which YAML does not allow; write spaces");
  // Where it is not the fault, nothing is said of it.
  EXPECT_THAT(ErrorOf("\t\n\t# a comment\nseed: [1\n"), HasSubstr(": not YAML: "));
  EXPECT_EQ(Read("inside: {rooms: 4,\n\tfloors: 2}\n").floors, 2);
}

TEST(KeyPlaces, ErrorsKeepTheirKind) {
  KeyPlaces places{"h.yml", {{"inside", 2}, {"inside.plan", 3}}};
  EXPECT_EQ(places.Where("inside.plan"), "h.yml:3: inside.plan");
  EXPECT_EQ(places.Where("inside.rooms"), "h.yml:2: inside.rooms");
  EXPECT_EQ(places.Where("seed"), "h.yml: seed");
  EXPECT_EQ(KeyPlaces{}.Where("seed"), "seed");
  try {
    places.FailAt("inside.plan", Error(ErrorKind::kUnsupported, "x.gguf: too new"));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_STREQ(error.what(), "h.yml:3: inside.plan: x.gguf: too new");
  }
}

TEST(SchemaReader, NumbersAreExactOrRefused) {
  for (const char* bad :
       {"nan", ".nan", "inf", "-.inf", "1e999", "0x10", "+5", "1,5", "5 m2", "''", "5__0", "_5"})
    EXPECT_THAT(ErrorOf(fmt::format("area: {}\n", bad)), HasSubstr("h.yml:1: area: expected a number"))
        << bad;
  for (const char* bad : {"9223372036854775808", "1e3", "-", "0x1f", "5_", "true"})
    EXPECT_THAT(ErrorOf(fmt::format("inside: {{rooms: {}}}\n", bad)), HasSubstr("expected an integer"))
        << bad;
  for (const char* bad : {"-1", "18446744073709551616"})
    EXPECT_THAT(ErrorOf(fmt::format("seed: {}\n", bad)), HasSubstr("expected an integer of at least 0"))
        << bad;
}

TEST(SchemaReader, HostileYamlIsAnError) {
  EXPECT_THAT(ErrorOf("inside:\n\trooms: 1\n"), HasSubstr("dir/h.yml:"));  // a tab
  EXPECT_THAT(ErrorOf("seed: 1\n---\nseed: 2\n"),
              HasSubstr("h.yml:2: expected the end of the file, found another YAML"));
  EXPECT_THAT(ErrorOf("inside: *nowhere\n"), HasSubstr("not YAML"));
  EXPECT_THAT(ErrorOf("<<: {seed: 1}\n"), HasSubstr("unknown key"));
  EXPECT_THAT(ErrorOf("\"a\\nb\\e[1m\": 1\n"), HasSubstr("a\\x0ab"));  // still one line
  EXPECT_THAT(ErrorOf("color: \"" + std::string(100'000, 'x') + "\"\n"), HasSubstr("..."));
  EXPECT_THAT(ErrorOf(std::string(1'000, 'x') + ": 1\n"), HasSubstr("xxx...: unknown key"));
  EXPECT_THAT(ErrorOf("? " + std::string(500'000, 'x') + "\n: 1\n"), HasSubstr("xxx...: unknown key"));
  EXPECT_THAT(ErrorOf("{seed: 1}, {seed: 2}\n"),
              HasSubstr("h.yml:1: expected the end of the file"));  // must end
  std::string bomb = "a0: &a0 [x]\n";
  for (int i = 1; i < 60; ++i) bomb += fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}]\n", i, i - 1);
  EXPECT_THAT(ErrorOf(bomb), HasSubstr("a0: unknown key"));
  std::string inner = "people: &p [x, y]\nsizes: [*p, *p]\n";
  EXPECT_THAT(ErrorOf(inner), HasSubstr("expected an integer"));
  for (const char* deep : {"[", "{a: ", "- ", "? ", "a:\n "}) {
    std::string text;
    for (int i = 0; i < 20'000; ++i) text += deep;
    ErrorOf(text);
  }
}

TEST(KeyLister, GivesNamesTypesAndValues) {
  const KeyLister listed = ListKeys(House{});
  ASSERT_EQ(listed.sections.size(), 2u);
  EXPECT_EQ(listed.sections[1].name, "inside.lamp");
  EXPECT_TRUE(listed.sections[1].optional);
  const auto find = [&](std::string_view name) {
    return *std::ranges::find(listed.keys, name, &KeyValue::name);
  };
  EXPECT_EQ(TypeText(find("inside.rooms")), "integer, 1 to 100");
  EXPECT_EQ(TypeText(find("color")), "one of red, blue");
  EXPECT_EQ(TypeText(find("people")), "list of text");
  EXPECT_EQ(YamlText(find("people")), "[Ann, Bo]");
  EXPECT_EQ(YamlText(find("area")), "80.5");
  EXPECT_TRUE(find("inside.lamp.watts").values.empty());  // no lamp
  EXPECT_FALSE(find("rent").allowed);
  EXPECT_FALSE(find("plan").allowed);
}

TEST(Fingerprint, HoldsTheKeysThatMatterAndNoOther) {
  House house;
  const std::string before = Fingerprint(ListKeys(house).keys, kSize);
  EXPECT_EQ(before, "inside.rooms 4; inside.floors 2; area 80.5; garden false; ");
  house.color = Color::kBlue;
  house.people = {};
  EXPECT_EQ(Fingerprint(ListKeys(house).keys, kSize), before);
  EXPECT_NE(Fingerprint(ListKeys(house).keys, kLooks), Fingerprint(ListKeys(House{}).keys, kLooks));
  house.garden = true;
  EXPECT_NE(Fingerprint(ListKeys(house).keys, kSize), before);
}

TEST(YamlDocument, ReadsBackEqual) {
  House house;
  house.plan = "dir/a #b/c: d";
  house.lamp.emplace();
  house.rent = 0.1;
  house.sizes = {1, 2};
  for (const char* name : {"",    "true", "~",  "null", "1e5",  "- x", "a: b", "#c", " d ", "e\nf\t", "\"g\"",
                           "'h'", "*i",   "&j", "[k]",  "l, m", "\\n", "grün", "?",  "%",   "@",      "x"}) {
    house.name = name;
    house.people = {name, "Bo"};
    std::vector<KeyValue> keys = ListKeys(house).keys;
    for (KeyValue& key : keys) {
      if (key.name == "plan") key.values = {"a #b/c: d"};
    }
    const std::string text =
        YamlDocument(keys, {{"name", "short"},
                            {"inside", std::string(300, 'w') + " " + std::string(30, 'v')},
                            {"color", "two\nlines"}});
    EXPECT_EQ(ListKeys(Read(text)).keys, ListKeys(house).keys) << text;
    EXPECT_EQ(YAML::Load(text)["name"].as<std::string>(), name);  // other readers agree
  }
}

TEST(KeyPlaces, NameTheNearestLine) {
  House house;
  const KeyPlaces places = ReadKeys("h.yml", ParseYaml("h.yml", "seed: 2\ninside:\n  rooms: 3\n"), 0, house);
  const auto message = [&](std::string_view key) {
    try {
      places.FailAt(key, "wrong");
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(message("inside.rooms"), "h.yml:3: inside.rooms: wrong");
  EXPECT_EQ(message("inside.floors"), "h.yml:2: inside.floors: wrong");
  EXPECT_EQ(message("area"), "h.yml: area: wrong");
  EXPECT_FALSE(places.Given("inside.floors"));
  EXPECT_TRUE(places.Given("inside.rooms"));
}

}  // namespace
}  // namespace longspan
