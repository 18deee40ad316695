#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <ostream>
#include <tuple>

#include "curate/config.pb.h"
#include "curate/delivery.h"
#include "curate/groups.h"
#include "curate/report_parts.h"
#include "curate/worker.pb.h"
#include "ledger/base/bytes.h"
#include "ledger/base/error.h"
#include "ledger/base/log.h"
#include "ledger/store.h"

namespace cleared::curate {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostGroups = 50, kMostSpans = 12;  // shown; the rest is counted
constexpr uint32_t kThumbHeight = 72;                // pixels
constexpr size_t kThumbBytes = 30'000;               // a picture of that size has a tenth of it

// JPEG pictures of one source, by time.
class Pictures {
 public:
  Pictures(const ReportOptions& options, const Limits& limits)
      : options_(options), limits_(limits) {}

  void want(const std::string& path, const std::string& digest, uint64_t at_us) {
    Source& source = sources_[path];
    source.digest = digest;
    source.at_us[at_us];
  }

  // Decodes each source once.
  void make() {
    for (auto& [path, source] : sources_) {
      try {
        make(path, source);
      } catch (const Error& error) {
        log(Level::warn, "curate.report", {{"no_pictures_of", path}, {"why", error.what()}});
      }
    }
  }

  // An <img>, or an empty box of its size.
  std::string html(const std::string& path, uint64_t at_us) const {
    const auto source = sources_.find(path);
    if (source == sources_.end()) return "";
    const std::string& jpeg = source->second.at_us.at(at_us);
    if (jpeg.empty()) return "<span class=none></span>";
    return "<img alt=\"\" height=72 src=\"data:image/jpeg;base64," + to_base64(as_bytes(jpeg)) +
           "\">";
  }

 private:
  struct Source {
    std::string digest;
    std::map<uint64_t, std::string> at_us;
  };

  void make(const std::string& path, Source& source) const {
    const OpenedSource opened = open_source(options_.delivery / path);
    if (to_hex(opened.digest) != source.digest) {
      throw Error(Errc::corrupt, "its bytes have changed since it was ingested");
    }
    Request request;
    *request.mutable_limits() = limits_;
    request.mutable_thumbs()->set_height(kThumbHeight);
    for (const auto& [at_us, jpeg] : source.at_us) request.mutable_thumbs()->add_at_us(at_us);
    const Reply reply = run_worker(request, opened.fd, options_.worker);
    if (reply.thumbnails().jpeg_size() != request.thumbs().at_us_size()) {
      throw Error(Errc::corrupt, "its worker answered another question");
    }
    int i = 0;
    for (auto& [at_us, jpeg] : source.at_us) {
      const std::string& made = reply.thumbnails().jpeg(i++);
      // What a worker says is input: a picture that is none is left out.
      if (made.size() <= kThumbBytes && made.starts_with("\xFF\xD8\xFF")) jpeg = made;
    }
  }

  const ReportOptions& options_;
  const Limits& limits_;
  std::map<std::string, Source> sources_;
};

// Of the pictures that stand for a span; the last is a little before its end, where there is one.
std::array<uint64_t, 3> moments(uint64_t start_us, uint64_t end_us) {
  const uint64_t length = end_us > start_us ? end_us - start_us : 0;
  return {start_us, start_us + length / 2, start_us + length - std::min<uint64_t>(length, 100'000)};
}

// Both sources as lines of equal scale, what is the same in one colour and joined.
void write_alignment(std::ostream& out, const SharedSpan& span, uint64_t length_us,
                     uint64_t of_length_us) {
  constexpr int kWidth = 460, kHeight = 46, kLine = 12, kBelow = kHeight - kLine;
  const double longest = double(std::max<uint64_t>({length_us, of_length_us, 1}));
  const auto x = [&](uint64_t us) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", std::min(1.0, double(us) / longest) * kWidth);
    return std::string(text);
  };
  const auto line = [&](int y, uint64_t length, uint64_t start, uint64_t end) {
    out << "<rect class=whole x=0 y=" << y << " width=" << x(length) << " height=" << kLine
        << "></rect><rect x=" << x(start) << " y=" << y << " width=" << x(end - start)
        << " height=" << kLine << "></rect>";
  };
  out << "<svg role=img width=" << kWidth << " height=" << kHeight << " viewBox=\"0 0 " << kWidth
      << ' ' << kHeight << "\"><path class=joined d=\"M" << x(span.start_us) << ' ' << kLine << " L"
      << x(span.end_us) << ' ' << kLine << " L" << x(span.of_end_us) << ' ' << kBelow << " L"
      << x(span.of_start_us) << ' ' << kBelow << " Z\"></path>";
  line(0, length_us, span.start_us, span.end_us);
  line(kBelow, of_length_us, span.of_start_us, span.of_end_us);
  out << "</svg>";
}

void write_span(std::ostream& out, const SharedSpan& span, const Pictures& pictures,
                const std::map<std::string, uint64_t>& length_us) {
  if (!span.said.empty()) {
    out << "<p>" << visible_html(span.said) << "</p>\n";
    return;
  }
  char distance[80];
  std::snprintf(distance, sizeof distance, "%.1f of 256 bits apart", span.distance);
  const auto side = [&](const std::string& path, uint64_t start, uint64_t end) {
    out << "<div class=side><div class=sheet>";
    for (const uint64_t at_us : moments(start, end)) out << pictures.html(path, at_us);
    out << "</div><b>" << seconds_text(static_cast<int64_t>(start)) << " to "
        << seconds_text(static_cast<int64_t>(end)) << " s</b> of " << visible_html(path)
        << "</div>";
  };
  out << "<div class=span>";
  side(span.path, span.start_us, span.end_us);
  write_alignment(out, span, length_us.at(span.path), length_us.at(span.of));
  side(span.of, span.of_start_us, span.of_end_us);
  out << "<span class=quiet>" << distance;
  if (span.audio_match >= 0) {
    out << "; sound " << static_cast<int>(100 * span.audio_match + 0.5) << " % the same";
  }
  out << "</span></div>\n";
}

void write_member(std::ostream& out, const GroupMember& member, bool conflict) {
  out << "<li class=" << (member.kept ? "kept" : "no") << "><b>" << visible_html(member.path)
      << "</b> " << member.width << " x " << member.height << ", "
      << seconds_text(static_cast<int64_t>(member.duration_us)) << " s, "
      << visible_html(member.licensor);
  for (const std::string& licence : member.licences) out << ' ' << visible_html(licence);
  out << ": "
      << (member.kept ? "kept"
          : conflict  ? "quarantined"
                      : "not kept")
      << ", " << visible_html(member.reason) << "</li>\n";
}

}  // namespace

void write_groups(std::ostream& out, const ledger::Store& store, const ReportOptions& options,
                  const Limits& limits) {
  const std::vector<Group> groups = duplicate_groups(store, Keep::oldest);
  out << "<h2>There more than once</h2>\n<p>Footage that sources have in common. A duplicate is "
         "not "
         "kept; a conflict, where two licensors deliver it, is quarantined on both sides until "
         "a signed review says whose it is. Lines are sources, to one scale; what is coloured is "
         "the "
         "same.</p>\n";
  if (groups.empty()) {
    out << "<p class=quiet>None.</p>\n";
    return;
  }
  const size_t shown = std::min(groups.size(), kMostGroups);
  Pictures pictures(options, limits);
  for (size_t i = 0; i < shown && !options.delivery.empty(); ++i) {
    std::map<std::string, std::string> digests;
    for (const GroupMember& member : groups[i].members) digests[member.path] = member.digest;
    for (size_t s = 0; s < std::min(groups[i].spans.size(), kMostSpans); ++s) {
      const SharedSpan& span = groups[i].spans[s];
      if (!span.said.empty()) continue;
      for (const auto& [path, start, end] :
           {std::tuple(span.path, span.start_us, span.end_us),
            std::tuple(span.of, span.of_start_us, span.of_end_us)}) {
        for (const uint64_t at_us : moments(start, end)) {
          pictures.want(path, digests[path], at_us);
        }
      }
    }
  }
  pictures.make();
  for (size_t i = 0; i < shown; ++i) {
    const Group& group = groups[i];
    std::map<std::string, uint64_t> length_us;
    out << "<section class=group><h3>" << (group.conflict ? "Conflict" : "Duplicate") << ' '
        << i + 1 << "</h3><ul>\n";
    for (const GroupMember& member : group.members) {
      length_us[member.path] = member.duration_us;
      write_member(out, member, group.conflict);
    }
    out << "</ul>\n";
    const size_t spans = std::min(group.spans.size(), kMostSpans);
    for (size_t s = 0; s < spans; ++s) write_span(out, group.spans[s], pictures, length_us);
    if (spans < group.spans.size()) {
      out << "<p class=quiet>" << group.spans.size() - spans
          << " more spans: curate duplicates --json</p>\n";
    }
    out << "</section>\n";
  }
  if (shown < groups.size()) {
    out << "<p class=quiet>" << groups.size() - shown << " more groups: curate duplicates</p>\n";
  }
}

}  // namespace cleared::curate
