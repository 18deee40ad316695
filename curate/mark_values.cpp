#include "curate/mark_values.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>

namespace cleared::curate {
namespace {

using ledger::MarkSays;

struct Value {
  std::string_view word;
  MarkSays says;
};

template <size_t N>
MarkSays look_up(const Value (&values)[N], std::string_view word) {
  const auto* found = std::find_if(std::begin(values), std::end(values),
                                   [&](const Value& value) { return value.word == word; });
  return found == std::end(values) ? MarkSays::unclear : found->says;
}

// The word behind the URI of its vocabulary, which may be left out; another URI stays, and so is no
// word that anybody knows.
std::string_view word_of(std::string_view value,
                         std::initializer_list<std::string_view> vocabularies) {
  for (const std::string_view vocabulary : vocabularies) {
    if (value.starts_with(vocabulary)) return value.substr(vocabulary.size());
  }
  return value;
}

constexpr Value kTrainingUses[] = {
    {"allowed", MarkSays::allowed}, {"notAllowed", MarkSays::no}, {"constrained", MarkSays::no}};

constexpr Value kDataMining[] = {
    {"DMI-UNSPECIFIED", MarkSays::allowed},
    {"DMI-ALLOWED", MarkSays::allowed},
    {"DMI-PROHIBITED", MarkSays::no},
    {"DMI-PROHIBITED-AIMLTRAINING", MarkSays::no},
    {"DMI-PROHIBITED-GENAIMLTRAINING", MarkSays::no},
    {"DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING", MarkSays::no},
    {"DMI-PROHIBITED-SEECONSTRAINT", MarkSays::no},
    {"DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR", MarkSays::no},
    {"DMI-PROHIBITED-SEELINKEDRIGHTSEXPR", MarkSays::no},
};

// Synthetic is what its definition says a machine made, or may have made, a part of: an algorithm
// that was trained, one that was not, a virtual event "based on generative AI and/or captured
// elements", and a composite "at least one of which is synthetic".
constexpr Value kSourceTypes[] = {
    {"digitalCapture", MarkSays::allowed},
    {"computationalCapture", MarkSays::allowed},
    {"negativeFilm", MarkSays::allowed},
    {"positiveFilm", MarkSays::allowed},
    {"print", MarkSays::allowed},
    {"minorHumanEdits", MarkSays::allowed},
    {"humanEdits", MarkSays::allowed},
    {"algorithmicallyEnhanced", MarkSays::allowed},
    {"softwareImage", MarkSays::allowed},
    {"digitalArt", MarkSays::allowed},
    {"digitalCreation", MarkSays::allowed},
    {"dataDrivenMedia", MarkSays::allowed},
    {"screenCapture", MarkSays::allowed},
    {"composite", MarkSays::allowed},
    {"compositeCapture", MarkSays::allowed},
    {"empty", MarkSays::allowed},  // C2PA's
    {"trainedAlgorithmicMedia", MarkSays::synthetic},
    {"compositeWithTrainedAlgorithmicMedia", MarkSays::synthetic},
    {"compositeSynthetic", MarkSays::synthetic},
    {"algorithmicMedia", MarkSays::synthetic},
    {"virtualRecording", MarkSays::synthetic},
    {"trainedAlgorithmicData", MarkSays::synthetic},  // C2PA's
};

constexpr Value kReservations[] = {{"0", MarkSays::allowed}, {"1", MarkSays::no}};

struct Token {
  std::string_view word;
  RslUsage usage;
};
// RSL 1.0, and the words of its drafts.
constexpr Token kTokens[] = {
    {"all", RslUsage::training},         {"ai-all", RslUsage::training},
    {"ai-train", RslUsage::training},    {"train-ai", RslUsage::training},
    {"train-genai", RslUsage::training}, {"ai-input", RslUsage::other},
    {"ai-index", RslUsage::other},       {"ai-use", RslUsage::other},
    {"ai-summarize", RslUsage::other},   {"search", RslUsage::other},
};

}  // namespace

MarkSays says_of_training_use(std::string_view use) {
  return look_up(kTrainingUses, use);
}
MarkSays says_of_data_mining(std::string_view value) {
  return look_up(kDataMining, word_of(value, {"http://ns.useplus.org/ldf/vocab/",
                                              "https://ns.useplus.org/ldf/vocab/"}));
}
MarkSays says_of_source_type(std::string_view value) {
  return look_up(kSourceTypes, word_of(value, {"http://cv.iptc.org/newscodes/digitalsourcetype/",
                                               "https://cv.iptc.org/newscodes/digitalsourcetype/",
                                               "digsrctype:", "http://c2pa.org/digitalsourcetype/",
                                               "https://c2pa.org/digitalsourcetype/"}));
}
MarkSays says_of_reservation(std::string_view value) {
  return look_up(kReservations, value);
}

RslUsage rsl_usage(std::string_view token) {
  const auto* found = std::find_if(std::begin(kTokens), std::end(kTokens),
                                   [&](const Token& known) { return known.word == token; });
  return found == std::end(kTokens) ? RslUsage::unknown : found->usage;
}

}  // namespace cleared::curate
