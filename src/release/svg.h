// A small writer of SVG 1.1 documents: shapes and text on a canvas that brings its own background, so a plot
// reads the same on a white page and on a dark one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace longspan {

// `text` safe inside an XML element or a quoted attribute. Characters that XML forbids become U+FFFD.
std::string EscapeXml(std::string_view text);

// Colours that stay apart for colour-blind readers (Okabe & Ito 2008), and the greys of the frame.
namespace ink {
inline constexpr std::string_view kPaper = "#ffffff";
inline constexpr std::string_view kBorder = "#d5d9e0";
inline constexpr std::string_view kGrid = "#e8eaee";
inline constexpr std::string_view kAxis = "#8b93a1";
inline constexpr std::string_view kMuted = "#5b6472";
inline constexpr std::string_view kText = "#1c2230";
inline constexpr std::string_view kBlue = "#0072b2";
inline constexpr std::string_view kVermilion = "#d55e00";
inline constexpr std::string_view kGreen = "#00845f";
inline constexpr std::string_view kPurple = "#aa4499";
}  // namespace ink

struct Point {
  double x = 0;
  double y = 0;
};

enum class Anchor { kStart, kMiddle, kEnd };

struct Stroke {
  std::string_view color = ink::kText;
  double width = 1;
  std::string_view dashes = {};  // as stroke-dasharray takes it: "6 4"
  double opacity = 1;
};

struct Lettering {
  double size = 12;
  Anchor anchor = Anchor::kStart;
  std::string_view color = ink::kText;
  bool bold = false;
  double rotate = 0;  // degrees, around the point where the text is anchored
};

class Svg {
 public:
  // `title` and `description` are what a screen reader says.
  Svg(double width, double height, std::string_view title, std::string_view description);

  void Line(Point from, Point to, const Stroke& stroke);
  void Polyline(std::span<const Point> points, const Stroke& stroke);
  void Rectangle(Point corner, double width, double height, std::string_view fill, double radius = 0,
                 std::string_view border = {});
  // `tooltip` is shown where a browser hovers.
  void Circle(Point centre, double radius, std::string_view fill, std::string_view tooltip = {});
  void Text(Point at, std::string_view text, const Lettering& lettering);

  double width() const { return width_; }
  double height() const { return height_; }
  std::string Finish() &&;

 private:
  double width_;
  double height_;
  std::string body_;
};

// The width that a reader's font is likely to give `text`, for layout.
double EstimatedTextWidth(std::string_view text, double size);

}  // namespace longspan
