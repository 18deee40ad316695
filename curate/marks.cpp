#include "curate/marks.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>

#include <exempi/xmp.h>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "curate/mark_values.h"
#include "ledger/base/error.h"
#include "ledger/base/handle.h"

namespace cleared::curate {
namespace {

using ledger::MarkSays;
using Json = nlohmann::json;

constexpr size_t kValueBytes = 200;
constexpr int kDeepest = 60;  // of what is walked through

std::string shortened(std::string text) {
  if (text.size() > kValueBytes) text.resize(kValueBytes);
  return text;
}

void add(std::vector<Mark>& out, std::string_view name, MarkSays says, std::string value,
         std::string_view place) {
  Mark mark{std::string(name), says, shortened(std::move(value)), shortened(std::string(place))};
  if (std::find(out.begin(), out.end(), mark) == out.end()) out.push_back(std::move(mark));
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

// Discarded where it does not parse, and where an object has a name twice: which of the two counts?
Json parse_json(std::string_view text) {
  std::vector<std::set<std::string>> names;  // of the objects that are open
  bool twice = false;
  const auto look = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key) {
      twice = !names.back().insert(parsed.get<std::string>()).second || twice;
    }
    return true;
  };
  Json out = Json::parse(text, look, false);
  return twice ? Json(Json::value_t::discarded) : out;
}

// --- C2PA ---

// "c2pa.training-mining.v2__1" is a second assertion "c2pa.training-mining" of version 2.
std::string_view without_version(std::string_view label) {
  label = label.substr(0, label.find("__"));
  const size_t dot = label.rfind(".v");
  const bool version = dot != std::string_view::npos && dot + 2 < label.size() &&
                       label.find_first_not_of("0123456789", dot + 2) == std::string_view::npos;
  return version ? label.substr(0, dot) : label;
}

void add_training_mining(const Json& data, std::string_view name, const std::string& place,
                         std::vector<Mark>& out) {
  const auto entries = data.is_object() ? data.find("entries") : data.end();
  if (!data.is_object() || entries == data.end() || !entries->is_object() || entries->empty()) {
    return add(out, name, MarkSays::unclear, "no entries", place);
  }
  for (const auto& [entry, value] : entries->items()) {
    const bool plain = value.is_object() && value.contains("use") && value["use"].is_string();
    const std::string use = plain ? value["use"].get<std::string>() : "";
    add(out, name, says_of_training_use(use), entry + " " + (plain ? use : text_of(value)), place);
  }
}

// Metadata of every kind is written under these names, in actions, ingredients and in assertions
// that carry XMP as JSON.
struct NamedValue {
  std::string_view key, mark;
  MarkSays (*says)(std::string_view);
};
constexpr NamedValue kNamed[] = {
    {"digitalSourceType", "digital-source-type", says_of_source_type},
    {"Iptc4xmpExt:DigitalSourceType", "digital-source-type", says_of_source_type},
    {"plus:DataMining", "plus.data-mining", says_of_data_mining},
    {"tdm:reservation", "tdm-reservation", says_of_reservation},
};
void walk(const Json& node, const std::string& place, int depth, std::vector<Mark>& out) {
  if (depth > kDeepest) return add(out, "c2pa", MarkSays::unclear, "nested too deeply", place);
  if (!node.is_structured()) return;
  for (const auto& [key, value] : node.items()) {
    for (const NamedValue& named : kNamed) {
      if (node.is_object() && key == named.key) {
        add(out, named.mark, named.says(text_of(value)), text_of(value), place);
      }
    }
    walk(value, place, depth + 1, out);
  }
}

bool is_training_mining(std::string_view label) {
  return label == "c2pa.training-mining" || label == "cawg.training-mining";
}

// What a manifest took out of those before it. The store verifies without it, and nothing tells
// what it said.
void add_redactions(const Json& redactions, const std::string& place, std::vector<Mark>& out) {
  for (const Json& redaction : redactions) {
    const std::string uri = text_of(redaction);
    const std::string_view label =
        without_version(std::string_view(uri).substr(uri.rfind('/') + 1));
    add(out, is_training_mining(label) ? label : "c2pa", MarkSays::unclear, "redacted: " + uri,
        place);
  }
}

void add_manifest(const std::string& label, const Json& manifest, std::vector<Mark>& out) {
  const std::string place = "C2PA manifest " + label;
  const auto assertions = manifest.find("assertions");
  if (assertions != manifest.end() && assertions->is_array()) {
    for (const Json& assertion : *assertions) {
      if (!assertion.is_object() || !assertion.contains("label")) continue;
      const std::string full = text_of(assertion["label"]);
      const std::string_view name = without_version(full);
      if (is_training_mining(name)) {
        add_training_mining(assertion.value("data", Json()), name, place, out);
      }
    }
  }
  add_redactions(manifest.value("redactions", Json()), place, out);
  walk(manifest, place, 0, out);
}

// --- XMP ---

using XmpPacket = Handle<std::remove_pointer_t<XmpPtr>, xmp_free>;
using Text = Handle<std::remove_pointer_t<XmpStringPtr>, xmp_string_free>;
using Walk = Handle<std::remove_pointer_t<XmpIteratorPtr>, xmp_iterator_free>;

// Exempi takes RDF without this around it for an empty packet, and says that all is well.
XmpPacket parse_packet(std::string_view rdf) {
  XmpPacket packet(xmp_new_empty());
  const std::string text =
      "<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + std::string(rdf) + "</x:xmpmeta>";
  if (packet && xmp_parse(packet.get(), text.data(), text.size())) return packet;
  return nullptr;
}

// "plus:DataMining" of "xmpMM:Ingredients[2]/plus:DataMining[1]"; a qualifier without its "?".
std::string_view last_name(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);  // npos + 1 is 0
  if (path.starts_with('?')) path.remove_prefix(1);
  return path.substr(0, path.find('['));
}

struct Node {
  std::string name_space, name, value;  // value "?": of a structure, or a list of nothing
};

// Every property and qualifier of the packet, at any depth; of a list each of its items.
std::vector<Node> nodes_of(const XmpPacket& packet) {
  const Walk walk(xmp_iterator_new(packet.get(), nullptr, nullptr, XMP_ITER_PROPERTIES));
  const Text schema(xmp_string_new()), path(xmp_string_new()), value(xmp_string_new());
  std::vector<Node> out;
  uint32_t bits = 0;
  while (walk && xmp_iterator_next(walk.get(), schema.get(), path.get(), value.get(), &bits)) {
    const std::string_view name = last_name(xmp_string_cstr(path.get()));
    const size_t colon = name.find(':');
    if (colon == std::string_view::npos) continue;  // a schema
    uint32_t item_bits = 0;
    if (XMP_IS_PROP_ARRAY(bits) &&
        xmp_get_array_item(packet.get(), xmp_string_cstr(schema.get()), xmp_string_cstr(path.get()),
                           1, value.get(), &item_bits)) {
      continue;  // its items come next, under its name
    }
    const Text uri(xmp_string_new());
    xmp_prefix_namespace_uri(std::string(name.substr(0, colon)).c_str(), uri.get());
    out.push_back({xmp_string_cstr(uri.get()), std::string(name.substr(colon + 1)),
                   XMP_IS_PROP_SIMPLE(bits) ? xmp_string_cstr(value.get()) : "?"});
  }
  return out;
}

struct Property {
  const char *schema, *name;
  std::string_view mark, place;
  MarkSays (*says)(std::string_view);
};
// TDMRep's namespace is written in both ways.
constexpr Property kProperties[] = {
    {"http://ns.useplus.org/ldf/xmp/1.0/", "DataMining", "plus.data-mining", "XMP plus:DataMining",
     says_of_data_mining},
    {"http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "DigitalSourceType", "digital-source-type",
     "XMP Iptc4xmpExt:DigitalSourceType", says_of_source_type},
    {"http://www.w3.org/ns/tdmrep/", "reservation", "tdm-reservation", "XMP tdm:reservation",
     says_of_reservation},
    {"http://www.w3.org/ns/tdmrep#", "reservation", "tdm-reservation", "XMP tdm:reservation",
     says_of_reservation},
};

// --- what a file of a folder speaks for ---

// Of a URL, which may leave out its scheme; a "/" before the "://" is part of a path.
size_t host_of(std::string_view location) {
  if (location.starts_with("//")) return 2;
  const size_t scheme = location.find("://");
  return scheme == std::string_view::npos || location.find('/') < scheme ? std::string_view::npos
                                                                         : scheme + 3;
}

std::string percent_decoded(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87 : -1;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool coded =
        text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    out += coded ? static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2])) : text[i];
    if (coded) i += 2;
  }
  return out;
}

}  // namespace

// Where there is doubt, it speaks for more: without the query of a URL, encoded or not. An encoded
// "$" is a character of a name and no end.
Speaks speaks_for(std::string_view location, std::string_view path) {
  constexpr std::string_view kBlank = " \t\r\n";
  location.remove_prefix(std::min(location.find_first_not_of(kBlank), location.size()));
  location = location.substr(0, location.find_first_of("?#"));
  location = location.substr(0, location.find_last_not_of(kBlank) + 1);
  if (const size_t host = host_of(location); host != std::string_view::npos) {
    const size_t begin = location.find('/', host);
    location = begin == std::string_view::npos ? "/" : location.substr(begin);
  }
  const bool to_the_end = location.ends_with('$');
  if (to_the_end) location.remove_suffix(1);
  std::string pattern =
      std::filesystem::path(percent_decoded(location)).lexically_normal().generic_string();
  if (!pattern.empty() && pattern[0] != '/' && pattern[0] != '*') return Speaks::unclear;
  pattern += to_the_end ? '$' : '*';
  for (const std::string& form : {std::string(path), percent_decoded(path)}) {
    if (matches_location(pattern, form) || form == pattern) return Speaks::yes;
  }
  return Speaks::no;
}

namespace {

// --- RSL ---

std::string_view local_name(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  return name.substr(name.find(':') == std::string_view::npos ? 0 : name.find(':') + 1);
}

std::vector<pugi::xml_node> children(const pugi::xml_node& node, std::string_view name) {
  std::vector<pugi::xml_node> out;
  for (const pugi::xml_node& child : node.children()) {
    if (local_name(child) == name) out.push_back(child);
  }
  return out;
}

std::vector<std::string> words_of(std::string_view text) {
  constexpr std::string_view kBetween = " \t\r\n,";
  std::vector<std::string> out;
  for (size_t from = 0;
       (from = text.find_first_not_of(kBetween, from)) != std::string_view::npos;) {
    const size_t to = std::min(text.find_first_of(kBetween, from), text.size());
    out.emplace_back(text.substr(from, to - from));
    from = to;
  }
  return out;
}

// All of its text, whatever stands between; nothing when an element does.
std::optional<std::string> plain_text(const pugi::xml_node& node) {
  std::string out;
  for (const pugi::xml_node& child : node.children()) {
    if (child.type() == pugi::node_element) return std::nullopt;
    out += child.value();
  }
  return out;
}

// An element that is none of these might say anything.
void only_known(const pugi::xml_node& node, std::initializer_list<std::string_view> names,
                std::string_view place, std::vector<Mark>& out) {
  for (const pugi::xml_node& child : node.children()) {
    if (child.type() == pugi::node_element &&
        std::find(names.begin(), names.end(), local_name(child)) == names.end()) {
      add(out, "rsl", MarkSays::unclear,
          "<" + std::string(child.name()) + "> in <" + node.name() + ">", place);
    }
  }
}

// The words of RSL's usage vocabulary in it. What is none is unclear.
std::vector<std::string> usages_of(const pugi::xml_node& node, std::string_view place,
                                   std::vector<Mark>& out) {
  const auto text = plain_text(node);
  if (!text) {
    add(out, "rsl", MarkSays::unclear, std::string(node.name()) + " has elements in it", place);
    return {};
  }
  std::vector<std::string> words = words_of(*text);
  if (words.empty()) {
    add(out, "rsl", MarkSays::unclear, std::string(node.name()) + " has no words", place);
  }
  for (const std::string& word : words) {
    if (rsl_usage(word) == RslUsage::unknown) add(out, "rsl", MarkSays::unclear, word, place);
  }
  return words;
}

// No XML, though the parser takes the first of the two.
bool has_attribute_twice(pugi::xml_document& document) {
  struct Walker : pugi::xml_tree_walker {
    bool twice = false;
    bool for_each(pugi::xml_node& node) override {
      std::set<std::string_view> names;
      for (const pugi::xml_attribute& one : node.attributes()) {
        twice = !names.insert(one.name()).second || twice;
      }
      return !twice;
    }
  } walker;
  document.traverse(walker);
  return walker.twice;
}

void add_rsl_licence(const pugi::xml_node& licence, std::string_view place,
                     std::vector<Mark>& out) {
  only_known(licence, {"permits", "prohibits", "payment", "legal"}, place, out);
  if (licence.find_child([](const pugi::xml_node& n) { return n.type() == pugi::node_element; })
          .empty()) {
    add(out, "rsl", MarkSays::unclear, "a license that says nothing", place);
  }
  bool permits = false, permits_training = false;
  for (const pugi::xml_node& prohibits : children(licence, "prohibits")) {
    if (std::string_view(prohibits.attribute("type").value()) != "usage") {
      add(out, "rsl", MarkSays::no, "prohibits some users or places", place);
      continue;
    }
    for (const std::string& word : usages_of(prohibits, place, out)) {
      if (rsl_usage(word) == RslUsage::training)
        add(out, "rsl", MarkSays::no, "prohibits " + word, place);
    }
  }
  for (const pugi::xml_node& node : children(licence, "permits")) {
    if (std::string_view(node.attribute("type").value()) != "usage") {
      add(out, "rsl", MarkSays::no, "permits some users or places only", place);
      continue;
    }
    permits = true;
    for (const std::string& word : usages_of(node, place, out)) {
      permits_training = permits_training || rsl_usage(word) == RslUsage::training;
    }
  }
  if (permits && !permits_training)
    add(out, "rsl", MarkSays::no, "does not list training among what it permits", place);
  for (const pugi::xml_node& payment : children(licence, "payment")) {
    const std::string type = payment.attribute("type").value();
    if (type != "free") add(out, "rsl", MarkSays::no, "asks for payment: " + type, place);
  }
  if (permits_training) add(out, "rsl", MarkSays::allowed, "permits training", place);
}

}  // namespace

void marks_of_c2pa(std::string_view text, size_t manifests, std::vector<Mark>& out) {
  const Json store = parse_json(text);
  if (!store.is_object() || !store.contains("manifests") || !store["manifests"].is_object()) {
    return add(out, "c2pa", MarkSays::unclear, "the reader's answer has no manifests", "C2PA");
  }
  const std::string state =
      store.contains("validation_state") ? text_of(store["validation_state"]) : "nothing is said";
  if (state != "Valid" && state != "Trusted") {
    std::string why;
    for (const Json& status : store.value("validation_status", Json::array())) {
      const std::string code = status.is_object() ? text_of(status.value("code", Json())) : "";
      if (code != "signingCredential.untrusted") why += (why.empty() ? "" : ", ") + code;
    }
    add(out, "c2pa", MarkSays::unclear, "does not verify: " + (why.empty() ? state : why), "C2PA");
  }
  if (store["manifests"].size() < manifests) {
    add(out, "c2pa", MarkSays::unclear,
        "the reader tells of " + std::to_string(store["manifests"].size()) + " manifests of " +
            std::to_string(manifests),
        "C2PA");
  }
  for (const auto& [label, manifest] : store["manifests"].items()) {
    if (manifest.is_object()) add_manifest(label, manifest, out);
  }
}

void prepare_xmp() {
  if (!xmp_init()) throw Error(Errc::unsupported, "exempi does not start");
}

void marks_of_xmp(std::string_view text, std::vector<Mark>& out) {
  const XmpPacket packet = parse_packet(text);
  if (!packet) return add(out, "xmp", MarkSays::unclear, "does not parse", "XMP");
  std::set<std::string_view> seen;
  for (const Node& node : nodes_of(packet)) {
    const Property* of_name = nullptr;
    const Property* property = nullptr;
    for (const Property& one : kProperties) {
      if (node.name != one.name) continue;
      of_name = &one;
      if (node.name_space == one.schema) property = &one;
    }
    if (of_name == nullptr) continue;
    seen.insert(of_name->name);
    if (property != nullptr) {
      add(out, property->mark, property->says(node.value), node.value, property->place);
    } else {
      add(out, of_name->mark, MarkSays::unclear, "is of " + node.name_space, of_name->place);
    }
  }
  // What is there by name, and was not read, is not passed over.
  for (const Property& property : kProperties) {
    const std::string name = property.name;
    if (!seen.contains(property.name) && (text.find(":" + name) != std::string_view::npos ||
                                          text.find("<" + name) != std::string_view::npos)) {
      add(out, property.mark, MarkSays::unclear, "is not where it belongs", property.place);
    }
  }
}

bool names_remote_manifest(std::string_view text) {
  const XmpPacket packet = parse_packet(text);
  return packet && xmp_has_property(packet.get(), "http://purl.org/dc/terms/", "provenance");
}

void marks_of_tdmrep(std::string_view text, std::string_view path, std::string_view place,
                     std::vector<Mark>& out) {
  const Json file = parse_json(text);
  const Json rules = file.is_object() ? Json::array({file}) : file;
  if (!rules.is_array()) {
    return add(out, "tdm-reservation", MarkSays::unclear, "no JSON list, or a name twice in it",
               place);
  }
  for (const Json& rule : rules) {
    if (!rule.is_object()) {
      add(out, "tdm-reservation", MarkSays::unclear, "a rule that is no object", place);
      continue;
    }
    const std::string location = rule.contains("location") ? text_of(rule["location"]) : "/";
    const Speaks speaks = path.empty() ? Speaks::yes : speaks_for(location, path);
    if (speaks == Speaks::no) continue;
    if (speaks == Speaks::unclear) {
      add(out, "tdm-reservation", MarkSays::unclear, "location " + location, place);
      continue;
    }
    const std::string value =
        rule.contains("tdm-reservation") ? text_of(rule["tdm-reservation"]) : "nothing";
    add(out, "tdm-reservation", says_of_reservation(value), value, place);
  }
}

void marks_of_rsl(std::string_view xml, std::string_view path, std::string_view place,
                  std::vector<Mark>& out) {
  pugi::xml_document document;
  const bool parsed = bool(
      document.load_buffer(xml.data(), xml.size(), pugi::parse_default | pugi::parse_ws_pcdata));
  const pugi::xml_node root = document.document_element();
  const auto contents = children(root, "content");
  if (!parsed || has_attribute_twice(document) || local_name(root) != "rsl" || contents.empty()) {
    return add(out, "rsl", MarkSays::unclear, "is no RSL document", place);
  }
  only_known(root, {"content"}, place, out);
  for (const pugi::xml_node& content : contents) {
    const std::string url = content.attribute("url").value();
    const Speaks speaks = path.empty() ? Speaks::yes : speaks_for(url, path);
    if (speaks == Speaks::no) continue;
    if (speaks == Speaks::unclear) {
      add(out, "rsl", MarkSays::unclear, "url " + url, place);
      continue;
    }
    only_known(content, {"license", "schema", "copyright", "terms", "alternate"}, place, out);
    if (const std::string server = content.attribute("server").value(); !server.empty()) {
      add(out, "rsl", MarkSays::no, "wants a license from " + server, place);
    }
    const auto licences = children(content, "license");
    if (licences.empty()) add(out, "rsl", MarkSays::unclear, "content without a license", place);
    for (const pugi::xml_node& licence : licences) add_rsl_licence(licence, place, out);
  }
}

// The last star only is gone back to, so a hostile pattern costs no more than n * m.
bool matches_location(std::string_view pattern, std::string_view path) {
  const bool to_the_end = pattern.ends_with('$');
  if (to_the_end) pattern.remove_suffix(1);
  size_t p = 0, t = 0, star = std::string_view::npos, star_text = 0;
  for (;;) {
    if (p == pattern.size() && (!to_the_end || t == path.size())) return true;
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && t < path.size() && pattern[p] == path[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos && star_text < path.size()) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
}

}  // namespace cleared::curate
