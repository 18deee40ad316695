#include "train/data/bpe.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <set>

namespace cleared::train {
namespace {

using Pair = std::array<uint32_t, 2>;
using Word = std::vector<uint32_t>;

// " a city" is the words "", " a" and " city": a space begins a word.
template <class Use>
void for_each_word(std::string_view text, const Use& use) {
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(' ', start + 1), text.size());
    use(text.substr(start, end - start));
    start = end;
  }
}

Word bytes_of(std::string_view word) {
  Word tokens;
  for (const char c : word) tokens.push_back(static_cast<unsigned char>(c));
  return tokens;
}

void join(Word& word, const Pair& pair, uint32_t token) {
  size_t out = 0;
  for (size_t i = 0; i < word.size(); ++i) {
    const bool here = i + 1 < word.size() && word[i] == pair[0] && word[i + 1] == pair[1];
    word[out++] = here ? token : word[i];
    i += here ? 1 : 0;
  }
  word.resize(out);
}

// Different words with how often each occurs, and which of them hold a pair.
class Corpus {
 public:
  explicit Corpus(std::span<const std::string> captions) {
    std::map<std::string, uint64_t, std::less<>> words;
    for (const std::string& caption : captions) {
      for_each_word(caption, [&](std::string_view word) { ++words[std::string(word)]; });
    }
    for (const auto& [word, count] : words) {
      words_.push_back({bytes_of(word), count});
      count_pairs(words_.size() - 1, +1);
    }
  }

  // The most frequent pair, the smallest of equals, or none that occurs twice.
  std::optional<Pair> best() {
    while (!queue_.empty()) {
      const auto [count, turned] = queue_.top();
      const Pair pair = {~turned[0], ~turned[1]};
      const uint64_t now = counts_[pair].count;
      if (now == count && now >= 2) return pair;
      queue_.pop();  // of a count that has changed since
      if (now >= 2 && now < count) queue_.push({now, turned});
    }
    return {};
  }

  void replace(const Pair& pair, uint32_t token) {
    const std::set<size_t> where = counts_[pair].words;
    for (const size_t i : where) {
      count_pairs(i, -1);
      join(words_[i].tokens, pair, token);
      count_pairs(i, +1);
    }
  }

 private:
  void count_pairs(size_t i, int sign) {
    const auto& [tokens, times] = words_[i];
    for (size_t k = 0; k + 1 < tokens.size(); ++k) {
      const Pair pair = {tokens[k], tokens[k + 1]};
      Occurrence& at = counts_[pair];
      if (sign > 0) {
        at.count += times;
        at.words.insert(i);
        queue_.push({at.count, {~pair[0], ~pair[1]}});
      } else {
        at.count -= times;
        at.words.erase(i);
      }
    }
  }

  struct Counted {
    Word tokens;
    uint64_t count;
  };
  struct Occurrence {
    uint64_t count = 0;
    std::set<size_t> words;
  };
  std::vector<Counted> words_;
  std::map<Pair, Occurrence> counts_;
  std::priority_queue<std::pair<uint64_t, Pair>> queue_;  // bits of the pair turned: smallest first
};

}  // namespace

Pairs learn_pairs(std::span<const std::string> captions, size_t count) {
  Corpus corpus(captions);
  Pairs pairs;
  while (pairs.size() < count) {
    const auto best = corpus.best();
    if (!best) break;
    corpus.replace(*best, kFirstPair + static_cast<uint32_t>(pairs.size()));
    pairs.push_back(*best);
  }
  return pairs;
}

Bpe::Bpe(Pairs pairs) : pairs_(std::move(pairs)) {
  const auto text_of = [&](uint32_t token) {
    if (token < 256) return std::string(1, static_cast<char>(token));
    return token >= kFirstPair && token - kFirstPair < text_.size() ? text_[token - kFirstPair]
                                                                    : "";
  };
  for (size_t i = 0; i < pairs_.size(); ++i) {
    rank_.emplace(pairs_[i], static_cast<uint32_t>(i));
    text_.push_back(text_of(pairs_[i][0]) + text_of(pairs_[i][1]));
  }
}

std::vector<uint32_t> Bpe::encode(std::string_view text) const {
  std::vector<uint32_t> all;
  for_each_word(text, [&](std::string_view word) {
    Word tokens = bytes_of(word);
    for (;;) {
      auto best = rank_.end();
      for (size_t i = 0; i + 1 < tokens.size(); ++i) {
        const auto found = rank_.find({tokens[i], tokens[i + 1]});
        if (found == rank_.end()) continue;
        if (best == rank_.end() || found->second < best->second) best = found;
      }
      if (best == rank_.end()) break;
      join(tokens, best->first, kFirstPair + best->second);
    }
    all.insert(all.end(), tokens.begin(), tokens.end());
  });
  return all;
}

std::string Bpe::decode(std::span<const uint32_t> tokens) const {
  std::string text;
  for (const uint32_t token : tokens) {
    if (token < 256) text += static_cast<char>(token);
    else if (token >= kFirstPair && token - kFirstPair < text_.size())
      text += text_[token - kFirstPair];
  }
  return text;
}

}  // namespace cleared::train
