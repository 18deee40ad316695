// One half of a cross-check: this program has our code, main.go beside it the packages of the Go
// team (golang.org/x/mod/sumdb), which share nothing with us. Each writes cases, one JSON object a
// line, with what its code makes of them; the other answers each itself and compares.
//
//   tlog_peer write SEED      cases on stdout
//   tlog_peer check           cases on stdin; exit 1 and a line on stderr at the first difference
//
// And for tests/tools/python_peers_test.py, a JSON line of answer for each line of stdin:
//
//   tlog_peer roots           a record in base64; the root over all records so far, in hex
//   tlog_peer seal            {"skey", "type", "payload"}; the DSSE envelope
//   tlog_peer open            {"vkey", "envelope"}; whether the key signed it
//
// Kinds: note (a note, maybe damaged, and whether a key signed it), inclusion and consistency (a
// proof, maybe damaged, and whether it holds), uniform (proofs in trees of up to 2^60 equal
// leaves), tiles (names and contents of all files that are new between two sizes).
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "ledger/attestation.h"
#include "ledger/base/error.h"
#include "ledger/merkle.h"
#include "ledger/note.h"
#include "ledger/tiles.h"

namespace {

using namespace cleared;
using namespace cleared::ledger;
using Json = nlohmann::json;

constexpr int kNotes = 400, kProofs = 1500, kUniform = 500, kTileCases = 20;

// --- JSON ---

std::string base64(std::string_view bytes) {
  return to_base64(as_bytes(bytes));
}
Json to_json(const std::vector<Digest>& digests) {
  Json out = Json::array();
  for (const Digest& digest : digests) out.push_back(to_base64(digest.bytes));
  return out;
}
std::string bytes_of(const Json& json) {
  return parse_base64(json.get<std::string>()).value();
}
Digest digest_of(const Json& json) {
  return digest_from_raw(bytes_of(json)).value();
}
std::vector<Digest> digests_of(const Json& json) {
  std::vector<Digest> out;
  for (const Json& digest : json) out.push_back(digest_of(digest));
  return out;
}

// --- random things ---

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t below(uint64_t n) { return engine_() % n; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  Digest digest() {
    Digest out;
    for (std::byte& b : out.bytes) b = static_cast<std::byte>(below(256));
    return out;
  }
  std::vector<Digest> digests(uint64_t n) {
    std::vector<Digest> out;
    for (uint64_t i = 0; i < n; ++i) out.push_back(digest());
    return out;
  }
  // Lines of letters, spaces, umlauts and blank lines.
  std::string text() {
    constexpr std::string_view letters[] = {"a", "Z", " ", "\n", "+", "—", "ü", "\u3000", "\n\n"};
    std::string out;
    for (uint64_t n = below(60); n > 0; --n) out += letters[below(std::size(letters))];
    return out + "\n";
  }
  // One byte changed, left out or put in.
  void damage(std::string& text) {
    const uint64_t at = below(text.size());
    switch (below(3)) {
      case 0:
        text[at] = static_cast<char>(below(256));
        break;
      case 1:
        text.erase(at, 1);
        break;
      default:
        text.insert(at, 1, static_cast<char>(below(256)));
    }
  }
  // One digest changed, left out, put in or swapped with its neighbour.
  void damage(std::vector<Digest>& proof) {
    if (proof.empty()) {
      proof.push_back(digest());
      return;
    }
    const auto at = proof.begin() + static_cast<std::ptrdiff_t>(below(proof.size()));
    switch (below(4)) {
      case 0:
        at->bytes[below(32)] ^= std::byte{1};
        break;
      case 1:
        proof.erase(at);
        break;
      case 2:
        proof.insert(at, digest());
        break;
      default:
        std::swap(*at, proof.front());
    }
  }

 private:
  std::mt19937_64 engine_;
};

// --- a tree of 2^k equal leaves for any k: sizes no memory holds ---

class UniformTree {
 public:
  UniformTree() : roots_{leaf_digest(as_bytes("same"))} {
    while (roots_.size() < 64) roots_.push_back(node_digest(roots_.back(), roots_.back()));
  }
  Digest root(uint64_t size) const {
    const auto high = static_cast<size_t>(63 - __builtin_clzll(size));
    const uint64_t rest = size - (uint64_t{1} << high);
    return rest == 0 ? roots_[high] : node_digest(roots_[high], root(rest));
  }
  std::vector<Digest> roots(const std::vector<LeafRange>& path) const {
    std::vector<Digest> out;
    for (const auto& [begin, end] : path) out.push_back(root(end - begin));
    return out;
  }

 private:
  std::vector<Digest> roots_;
};

// --- answers ---

bool note_is_signed(const std::string& note, const std::string& vkey) {
  try {
    return signed_by(parse_note(note), parse_verifier_key(vkey));
  } catch (const Error&) {
    return false;
  }
}

Json tiles_between(const std::vector<Digest>& leaves, uint64_t old_size) {
  Json out = Json::array();
  for (const TileName& tile : new_tiles(old_size, leaves.size())) {
    const uint64_t span = uint64_t{1} << (8 * tile.level);  // leaves below one digest
    std::vector<Digest> digests;
    for (uint64_t i = 0; i < tile.width; ++i) {
      digests.push_back(
          root_digest(std::span(leaves).subspan((tile.index * 256 + i) * span, span)));
    }
    out.push_back({{"path", tile_path(tile)}, {"data", base64(encode_tile(digests))}});
  }
  return out;
}

// --- write ---

Json note_case(Random& random) {
  const SignerKey key = new_signer_key(random.one_in(2) ? "example.com/log" : "größe");
  Note note{random.text(), {}};
  if (random.one_in(3)) add_signature(note, new_signer_key("other.example"));
  add_signature(note, key);
  std::string text = format_note(note);
  const std::string good = text;
  if (!random.one_in(4)) random.damage(text);
  const std::string vkey = format_verifier_key(key.verifier);
  return {{"kind", "note"},
          {"skey", format_signer_key(key)},
          {"vkey", vkey},
          {"text", base64(note.text)},
          {"line", base64(format_note({note.text, {note.signatures.back()}}))},
          {"note", base64(text)},
          {"good", note_is_signed(text, vkey)}};
}

Json inclusion_case(Random& random) {
  const uint64_t size = 1 + random.below(random.one_in(4) ? 600 : 20);
  std::vector<Digest> leaves = random.digests(size);
  uint64_t index = random.below(size);
  auto proof = inclusion_proof(leaves, index);
  const Digest root = root_digest(leaves);
  const Digest leaf = leaves[index];
  uint64_t told = size;
  switch (random.below(6)) {
    case 0:
      random.damage(proof);
      break;
    case 1:
      index = random.below(size);
      break;
    case 2:
      told = 1 + index + random.below(size);
      break;
    default:
      break;
  }
  return {{"kind", "inclusion"},
          {"leaf", to_base64(leaf.bytes)},
          {"index", index},
          {"size", told},
          {"root", to_base64(root.bytes)},
          {"proof", to_json(proof)},
          {"good", verify_inclusion(leaf, index, told, proof, root)}};
}

Json consistency_case(Random& random) {
  uint64_t size = 1 + random.below(random.one_in(4) ? 600 : 20);
  const std::vector<Digest> leaves = random.digests(size);
  uint64_t old_size = 1 + random.below(size);
  auto proof = consistency_proof(leaves, old_size);
  const Digest old_root = root_digest(std::span(leaves).first(old_size));
  const Digest root = root_digest(leaves);
  switch (random.below(6)) {
    case 0:
      random.damage(proof);
      break;
    case 1:
      old_size = 1 + random.below(size);
      break;
    case 2:
      size = old_size + random.below(size);
      break;
    default:
      break;
  }
  return {{"kind", "consistency"},
          {"old_size", old_size},
          {"old_root", to_base64(old_root.bytes)},
          {"size", size},
          {"root", to_base64(root.bytes)},
          {"proof", to_json(proof)},
          {"good", verify_consistency(old_size, old_root, size, root, proof)}};
}

Json uniform_case(Random& random, const UniformTree& tree) {
  const uint64_t size = 1 + random.below(uint64_t{1} << (1 + random.below(60)));
  const uint64_t index = random.below(size);
  return {{"kind", "uniform"},
          {"index", index},
          {"size", size},
          {"root", to_base64(tree.root(size).bytes)},
          {"inclusion", to_json(tree.roots(inclusion_path(index, size)))},
          {"consistency", to_json(tree.roots(consistency_path(index + 1, size)))}};
}

Json tiles_case(Random& random, uint64_t old_size, uint64_t size) {
  const std::vector<Digest> leaves = random.digests(size);
  return {{"kind", "tiles"},
          {"leaves", to_json(leaves)},
          {"old_size", old_size},
          {"root", to_base64(root_digest(leaves).bytes)},
          {"tiles", tiles_between(leaves, old_size)}};
}

void write(uint64_t seed) {
  Random random(seed);
  const UniformTree uniform;
  for (int i = 0; i < kNotes; ++i) std::cout << note_case(random) << '\n';
  for (int i = 0; i < kProofs; ++i) std::cout << inclusion_case(random) << '\n';
  for (int i = 0; i < kProofs; ++i) std::cout << consistency_case(random) << '\n';
  for (int i = 0; i < kUniform; ++i) std::cout << uniform_case(random, uniform) << '\n';
  for (const uint64_t size : {1, 255, 256, 257, 511, 512, 700}) {
    for (const uint64_t old_size : {uint64_t{0}, size / 2, size - 1, size}) {
      std::cout << tiles_case(random, old_size, size) << '\n';
    }
  }
  for (int i = 0; i < kTileCases; ++i) {
    const uint64_t size = 1 + random.below(2000);
    std::cout << tiles_case(random, random.below(size + 1), size) << '\n';
  }
  std::cout << tiles_case(random, 65'500, 66'000) << '\n';  // the first digest of level 2
}

// --- check ---

bool note_agrees(const Json& c) {
  const SignerKey key = parse_signer_key(c["skey"].get<std::string>());
  const std::string vkey = c["vkey"];
  Note again{bytes_of(c["text"]), {}};
  add_signature(again, key);
  return format_signer_key(key) == c["skey"] && format_verifier_key(key.verifier) == vkey &&
         format_note(again) == bytes_of(c["line"]) &&
         note_is_signed(bytes_of(c["note"]), vkey) == c["good"];
}

bool inclusion_agrees(const Json& c) {
  return verify_inclusion(digest_of(c["leaf"]), c["index"], c["size"], digests_of(c["proof"]),
                          digest_of(c["root"])) == c["good"];
}

bool consistency_agrees(const Json& c) {
  return verify_consistency(c["old_size"], digest_of(c["old_root"]), c["size"],
                            digest_of(c["root"]), digests_of(c["proof"])) == c["good"];
}

bool uniform_agrees(const Json& c, const UniformTree& tree) {
  const uint64_t index = c["index"], size = c["size"];
  const Digest root = digest_of(c["root"]);
  const auto inclusion = digests_of(c["inclusion"]), consistency = digests_of(c["consistency"]);
  return root == tree.root(size) && inclusion == tree.roots(inclusion_path(index, size)) &&
         consistency == tree.roots(consistency_path(index + 1, size)) &&
         verify_inclusion(tree.root(1), index, size, inclusion, root) &&
         verify_consistency(index + 1, tree.root(index + 1), size, root, consistency);
}

bool tiles_agree(const Json& c) {
  const auto leaves = digests_of(c["leaves"]);
  RootBuilder builder;
  for (const Digest& leaf : leaves) builder.add(leaf);
  return builder.root() == digest_of(c["root"]) &&
         tiles_between(leaves, c["old_size"]) == c["tiles"];
}

int check() {
  const UniformTree uniform;
  std::string line;
  int count = 0;
  for (; std::getline(std::cin, line); ++count) {
    const Json c = Json::parse(line);
    const std::string kind = c["kind"];
    const bool agrees = kind == "note"          ? note_agrees(c)
                        : kind == "inclusion"   ? inclusion_agrees(c)
                        : kind == "consistency" ? consistency_agrees(c)
                        : kind == "uniform"     ? uniform_agrees(c, uniform)
                                                : kind == "tiles" && tiles_agree(c);
    if (!agrees) {
      std::cerr << "case " << count + 1 << " is answered otherwise here: " << line << '\n';
      return 1;
    }
  }
  std::cout << count << " cases agree\n";
  return 0;
}

// --- one answer a line ---

template <class Answer>
int answer_lines(Answer answer) {
  std::string line;
  while (std::getline(std::cin, line)) std::cout << answer(Json::parse(line)) << '\n';
  return 0;
}

int roots() {
  RootBuilder builder;
  return answer_lines([&](const Json& record) -> Json {
    builder.add(leaf_digest(as_bytes(bytes_of(record))));
    return to_hex(builder.root());
  });
}

Json seal(const Json& c) {
  const std::string envelope = seal_envelope(c["type"].get<std::string>(), bytes_of(c["payload"]),
                                             parse_signer_key(c["skey"].get<std::string>()));
  return Json::parse(envelope);
}

Json open(const Json& c) {
  try {
    return signed_by(parse_envelope(c["envelope"].get<std::string>()),
                     parse_verifier_key(c["vkey"].get<std::string>()));
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "write" && argc == 3) {
    write(std::stoull(argv[2]));
    return 0;
  }
  if (mode == "check" && argc == 2) return check();
  if (mode == "roots" && argc == 2) return roots();
  if (mode == "seal" && argc == 2) return answer_lines(seal);
  if (mode == "open" && argc == 2) return answer_lines(open);
  std::cerr << "usage: tlog_peer write SEED | check | roots | seal | open\n";
  return 2;
} catch (const std::exception& error) {
  std::cerr << "tlog_peer: " << error.what() << '\n';
  return 1;
}
