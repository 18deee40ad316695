#include <csignal>
#include <memory>

#include <sys/prctl.h>

#include "curate/decode.h"
#include "curate/mark_files.h"
#include "curate/reader.h"
#include "curate/sandbox.h"
#include "curate/worker.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

void answer(const Request& request, const MarkReader* marks, Reply& reply) {
  if (marks != nullptr) return marks->read(kSourceFd, *reply.mutable_marks());
  Reader reader(kSourceFd, {.max_pixels = request.limits().max_pixels(),
                            .max_pixel_frames = request.limits().max_pixel_frames()});
  if (request.has_analyse()) {
    return analyse(reader, request.analyse(), *reply.mutable_analysis());
  }
  if (request.has_thumbs()) {
    for (std::string& jpeg : thumbnails(reader, request.thumbs())) {
      reply.mutable_thumbnails()->add_jpeg(std::move(jpeg));
    }
    return;
  }
  for (std::string& webm : cut(reader, request.cut())) {
    reply.mutable_cuttings()->add_webm(std::move(webm));
  }
}

}  // namespace

int worker_main() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // no parent, nobody who wants the answer
  Request request;
  if (!request.ParseFromString(content_of(kRequestFd, UINT64_MAX))) return 2;
  const Limits& limits = request.limits();
  std::unique_ptr<MarkReader> marks;  // its libraries are loaded while files can be opened
  if (request.has_marks()) marks = std::make_unique<MarkReader>(request.marks());
  enter_sandbox({.memory_bytes = uint64_t{limits.memory_mb()} << 20,
                 .cpu_s = limits.cpu_s(),
                 .output_bytes = most_reply_bytes(request)},
                kSourceFd);

  Reply reply;
  try {
    answer(request, marks.get(), reply);
  } catch (const Error& error) {
    reply.mutable_failure()->set_code(static_cast<uint32_t>(error.code()));
    reply.mutable_failure()->set_text(error.what());
  } catch (const std::bad_alloc&) {
    reply.mutable_failure()->set_code(static_cast<uint32_t>(Errc::corrupt));
    reply.mutable_failure()->set_text("needs more memory than a worker is allowed");
  }
  write_all(kReplyFd, reply.SerializeAsString(), "the reply");
  return 0;
}

}  // namespace cleared::curate
