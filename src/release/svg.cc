#include "release/svg.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

namespace longspan {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr double kMeanGlyphWidth = 0.56;  // of the font size, for sans-serif text

// The length of the well-formed UTF-8 character at the start of `text`, or 0.
std::size_t CharacterLength(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : (lead & 0xf0) == 0xe0       ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  std::uint32_t code = length == 1 ? lead : lead & (0x7f >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[length] || code > 0x10ffff) return 0;
  const bool forbidden = (code < 0x20 && code != '\t' && code != '\n' && code != '\r') ||
                         (code >= 0xd800 && code < 0xe000) || code == 0xfffe || code == 0xffff;
  return forbidden ? 0 : length;
}

// Hundredths of a pixel are finer than any screen. The document must not hold a number that is not finite.
std::string Number(double value) {
  if (!std::isfinite(value)) return "0";
  std::string text = fmt::format("{:.2f}", value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

std::string_view Name(Anchor anchor) {
  return anchor == Anchor::kStart ? "start" : anchor == Anchor::kMiddle ? "middle" : "end";
}

std::string Attributes(const Stroke& stroke) {
  std::string text = fmt::format(R"(stroke="{}" stroke-width="{}")", stroke.color, Number(stroke.width));
  if (!stroke.dashes.empty()) text += fmt::format(R"( stroke-dasharray="{}")", stroke.dashes);
  if (stroke.opacity < 1) text += fmt::format(R"( stroke-opacity="{}")", Number(stroke.opacity));
  return text;
}

}  // namespace

std::string EscapeXml(std::string_view text) {
  std::string escaped;
  while (!text.empty()) {
    const std::size_t length = CharacterLength(text);
    if (length == 0) {
      escaped += kReplacement;
      text.remove_prefix(1);
      continue;
    }
    switch (text[0]) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      case '\'': escaped += "&#39;"; break;
      default: escaped += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return escaped;
}

double EstimatedTextWidth(std::string_view text, double size) {
  double characters = 0;
  for (const char c : text) characters += (static_cast<std::uint8_t>(c) & 0xc0) != 0x80;
  return characters * size * kMeanGlyphWidth;
}

Svg::Svg(double width, double height, std::string_view title, std::string_view description)
    : width_(width), height_(height) {
  body_ = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" )"
      R"(aria-label="{2}" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', )"
      R"('Liberation Sans', Arial, sans-serif">)"
      "\n<title>{2}</title>\n<desc>{3}</desc>\n",
      Number(width), Number(height), EscapeXml(title), EscapeXml(description));
  Rectangle({0.5, 0.5}, width - 1, height - 1, ink::kPaper, 8, ink::kBorder);
}

void Svg::Line(Point from, Point to, const Stroke& stroke) {
  body_ += fmt::format(R"(<line x1="{}" y1="{}" x2="{}" y2="{}" {}/>)", Number(from.x), Number(from.y),
                       Number(to.x), Number(to.y), Attributes(stroke)) +
           "\n";
}

void Svg::Polyline(std::span<const Point> points, const Stroke& stroke) {
  std::string list;
  for (const Point& p : points)
    list += fmt::format("{}{},{}", list.empty() ? "" : " ", Number(p.x), Number(p.y));
  body_ +=
      fmt::format(R"(<polyline points="{}" fill="none" stroke-linejoin="round" stroke-linecap="round" {}/>)",
                  list, Attributes(stroke)) +
      "\n";
}

void Svg::Rectangle(Point corner, double width, double height, std::string_view fill, double radius,
                    std::string_view border) {
  body_ += fmt::format(R"(<rect x="{}" y="{}" width="{}" height="{}" rx="{}" fill="{}")", Number(corner.x),
                       Number(corner.y), Number(width), Number(height), Number(radius), fill);
  if (!border.empty()) body_ += fmt::format(R"( stroke="{}")", border);
  body_ += "/>\n";
}

void Svg::Circle(Point centre, double radius, std::string_view fill, std::string_view tooltip) {
  body_ += fmt::format(R"(<circle cx="{}" cy="{}" r="{}" fill="{}" stroke="{}" stroke-width="1.5")",
                       Number(centre.x), Number(centre.y), Number(radius), fill, ink::kPaper);
  body_ += tooltip.empty() ? "/>\n" : fmt::format("><title>{}</title></circle>\n", EscapeXml(tooltip));
}

void Svg::Text(Point at, std::string_view text, const Lettering& lettering) {
  body_ += fmt::format(R"(<text x="{}" y="{}" font-size="{}" text-anchor="{}" fill="{}")", Number(at.x),
                       Number(at.y), Number(lettering.size), Name(lettering.anchor), lettering.color);
  if (lettering.bold) body_ += R"( font-weight="600")";
  if (lettering.rotate != 0) {
    body_ += fmt::format(R"-( transform="rotate({} {} {})")-", Number(lettering.rotate), Number(at.x),
                         Number(at.y));
  }
  body_ += fmt::format(">{}</text>\n", EscapeXml(text));
}

std::string Svg::Finish() && { return std::move(body_) + "</svg>\n"; }

}  // namespace longspan
