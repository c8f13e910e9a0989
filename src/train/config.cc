#include "train/config.h"

#include <fmt/format.h>

#include <string>

#include "base/error.h"

namespace longspan {
namespace {

constexpr std::int64_t kMany = std::int64_t{1} << 40;

std::filesystem::path Resolve(const std::filesystem::path& file, const std::string& path) {
  return path.empty() ? std::filesystem::path() : (file.parent_path() / path).lexically_normal();
}

void ReadNewModel(YamlSection s, const std::filesystem::path& file, TrainConfig& c) {
  LlamaConfig& m = c.new_model;
  std::string vocabulary;
  s.Require("vocabulary", vocabulary);
  c.vocabulary = Resolve(file, vocabulary);
  s.Read("name", m.name);
  s.Require<std::int64_t>("dim", m.dim, 1, kMany);
  s.Require<std::int64_t>("layers", m.layers, 1, kMany);
  s.Require<std::int64_t>("heads", m.heads, 1, kMany);
  m.kv_heads = m.heads;
  s.Read<std::int64_t>("kv_heads", m.kv_heads, 1, kMany);
  m.head_dim = m.dim / m.heads;
  s.Read<std::int64_t>("head_dim", m.head_dim, 1, kMany);
  s.Require<std::int64_t>("hidden_dim", m.hidden_dim, 1, kMany);
  s.Require<std::int64_t>("context", m.context, 1, kMany);
  s.Read("rope_theta", m.rope_theta, 1.0001, 1e12);
  s.Read("norm_epsilon", m.norm_epsilon, 0.0, 0.1);
  s.Read("tied_embeddings", m.tied_embeddings);
  std::string initialisation = "normal";
  s.Read("initialisation", initialisation);
  if (initialisation != "normal" && initialisation != "induction") {
    s.FailAt("initialisation", fmt::format("'{}', expected normal or induction", initialisation));
  }
  c.induction = initialisation == "induction";
  s.Finish();
}

void ReadRope(YamlSection s, RopeOverride& rope) {
  if (s.Has("theta")) s.Read("theta", rope.theta.emplace(), 1.0001, 1e12);
  if (s.Has("scaling")) {
    std::string kind;
    s.Read("scaling", kind);
    try {
      rope.scaling = RopeScalingKind(kind);
    } catch (const Error& error) {
      s.FailAt("scaling", error.what());
    }
  }
  s.Read("factor", rope.factor, 1e-3, 1e6);
  s.Read<std::int64_t>("original_context", rope.original_context, 0, kMany);
  s.Finish();
}

void ReadData(YamlSection s, const std::filesystem::path& file, TrainConfig& c) {
  std::string shards;
  s.Require("shards", shards);
  c.shards = Resolve(file, shards);
  s.Require<std::int64_t>("length", c.examples.length, 2, kMany);
  s.Read("pack", c.examples.pack);
  s.Read("retrieval_share", c.examples.retrieval_share, 0.0, 1.0);
  s.Read("echo_share", c.examples.echo_share, 0.0, 1.0);
  s.Finish();
}

}  // namespace

PoseOptions ReadPoseOptions(YamlSection& s) {
  PoseOptions pose;
  std::string variant = "paper", lengths = "random";
  s.Read("variant", variant);
  if (variant == "paper")
    pose.variant = PoseOptions::Variant::kPaper;
  else if (variant == "axolotl")
    pose.variant = PoseOptions::Variant::kAxolotl;
  else if (variant == "randpos")
    pose.variant = PoseOptions::Variant::kRandPos;
  else
    s.FailAt("variant", fmt::format("expected one of paper, axolotl, randpos, found '{}'", variant));
  if (s.Has("lengths")) {
    s.Read("lengths", lengths);
    if (lengths == "random")
      pose.lengths = PoseOptions::Lengths::kRandom;
    else if (lengths == "equal")
      pose.lengths = PoseOptions::Lengths::kEqual;
    else
      s.FailAt("lengths", fmt::format("expected random or equal, found '{}'", lengths));
  }
  std::int64_t chunks = pose.chunks;
  s.Read<std::int64_t>("chunks", chunks, 1, 1024);
  pose.chunks = static_cast<int>(chunks);
  s.Read("unmodified", pose.unmodified_share, 0.0, 1.0);
  s.Read("skip_text", pose.skip_text);
  return pose;
}

TrainConfig LoadTrainConfig(const std::filesystem::path& path) {
  TrainConfig c;
  c.file = path;
  YamlSection root(path, "", LoadYaml(path));
  YamlSection model = root.RequireSection("model");
  std::string base;
  model.Read("base", base);
  c.base = Resolve(path, base);
  if (model.Has("new") == !base.empty()) model.FailAt("base", "give either base (a file) or new (measures)");
  if (model.Has("new")) ReadNewModel(model.Section("new"), path, c);
  model.Read("type", c.type);
  model.Finish();
  if (root.Has("rope")) ReadRope(root.Section("rope"), c.rope);
  ReadData(root.RequireSection("data"), path, c);
  if (root.Has("pose")) {
    YamlSection pose = root.Section("pose");
    c.examples.pose = ReadPoseOptions(pose);
    pose.Require<std::int64_t>("target", c.examples.pose->target_context, 2, kMany);
    pose.Finish();
  }
  YamlSection train = root.RequireSection("train");
  c.train = ReadTrainOptions(train);
  train.Require<std::int64_t>("steps", c.train.steps, 1, kMany);
  train.Finish();
  if (c.base.empty()) c.train.adapter = AdapterKind::kFull;
  c.examples.seed = c.train.seed;
  std::string out;
  root.Require("out", out);
  c.out = Resolve(path, out);
  root.Finish();
  return c;
}

}  // namespace longspan
