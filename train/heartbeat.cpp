#include "train/heartbeat.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/handle.h"
#include "ledger/base/log.h"

namespace cleared::train {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kBeatsInSilence = 10;

// Messages are four bytes, most significant first: what is not one of these is the rank that was
// lost, and its host's name follows.
constexpr int kBeat = -1, kGoodbye = -2;
constexpr size_t kMessageBytes = 4;

// What a rank says first: the token, its number, its host's name.
constexpr size_t kTokenBytes = 32, kHostBytes = 64;
constexpr size_t kHelloBytes = kTokenBytes + kMessageBytes + kHostBytes;

std::string message_bytes(int message) {
  const uint32_t ordered = htonl(static_cast<uint32_t>(message));
  return {reinterpret_cast<const char*>(&ordered), kMessageBytes};
}

int message_of(const std::string& bytes) {
  uint32_t ordered = 0;
  std::memcpy(&ordered, bytes.data(), kMessageBytes);
  return static_cast<int>(ntohl(ordered));
}

// Who did not come in time may come the next time.
[[noreturn]] void fail(std::string_view what, int error) {
  throw Error(error == ETIMEDOUT ? Errc::busy : Errc::io, "ranks: ", what, ": ",
              std::generic_category().message(error));
}

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

// On all addresses of the machine, or on loopback alone where that is how the others come.
Fd listen_for(const std::string& address, int backlog) {
  const auto open = [&](int family, const sockaddr* to, socklen_t size) {
    Fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int no = 0;
    if (fd && family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (fd && (::bind(fd.get(), to, size) != 0 || ::listen(fd.get(), backlog) != 0)) fd.reset();
    return fd;
  };
  sockaddr_in6 any6{};
  any6.sin6_family = AF_INET6;
  any6.sin6_addr = address == "::1" ? in6addr_loopback : in6addr_any;
  sockaddr_in any4{};
  any4.sin_family = AF_INET;
  any4.sin_addr.s_addr = htonl(is_loopback(address) ? INADDR_LOOPBACK : INADDR_ANY);
  Fd fd;
  if (!is_loopback(address) || address == "::1") {
    fd = open(AF_INET6, reinterpret_cast<const sockaddr*>(&any6), sizeof any6);
  }
  if (!fd) fd = open(AF_INET, reinterpret_cast<const sockaddr*>(&any4), sizeof any4);
  if (!fd) fail("listen for heartbeats", errno);
  return fd;
}

std::string port_of(const Fd& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail("listen for heartbeats", errno);
  }
  const in_port_t port = address.ss_family == AF_INET6
                             ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                             : reinterpret_cast<const sockaddr_in&>(address).sin_port;
  return std::to_string(ntohs(port));
}

std::string new_token() {
  unsigned char bytes[kTokenBytes / 2];
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) {
    fail("make a token", errno);
  }
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) text += {kHex[byte >> 4], kHex[byte & 15]};
  return text;
}

std::string host_name() {
  char name[kHostBytes] = {};
  if (::gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
  return name;
}

// Reads that many bytes, or fewer when the other side takes longer than a moment.
std::string read_hello(const Fd& fd) {
  const timeval moment{.tv_sec = 2, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
  std::string hello(kHelloBytes, '\0');
  const ssize_t n = ::recv(fd.get(), hello.data(), hello.size(), MSG_WAITALL);
  hello.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return hello;
}

void make_ready(const Fd& fd) {
  const int yes = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
}

bool wait_to_read(const Fd& fd, Clock::duration most) {
  pollfd waiting{.fd = fd.get(), .events = POLLIN, .revents = 0};
  const auto left = std::chrono::ceil<milliseconds>(most).count();
  return ::poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left, 0))) > 0;
}

}  // namespace

Heartbeat::Heartbeat(const HeartbeatOptions& options,
                     const std::function<std::string(const std::string&)>& broadcast)
    : options_(options) {
  CLEARED_CHECK(options.size > 1 && options.on_lost);
  // "PORT SILENCE_MS TOKEN", or nothing where rank 0 was told not to listen.
  Fd listener;
  std::string invitation;
  if (options.rank == 0 && options.silence.count() > 0) {
    listener = listen_for(options.address, options.size);
    invitation =
        port_of(listener) + " " + std::to_string(options.silence.count()) + " " + new_token();
  }
  invitation = broadcast(invitation);
  if (invitation.empty()) return;
  const size_t first = invitation.find(' '), second = invitation.find(' ', first + 1);
  silence_ = milliseconds(std::stoll(invitation.substr(first + 1)));
  const std::string token = invitation.substr(second + 1);
  if (options.rank == 0) {
    accept_all(listener, token);
  } else {
    connect(invitation.substr(0, first), token);
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("make a pipe", errno);
  woken_.reset(ends[0]);
  wake_.reset(ends[1]);
  thread_ = std::jthread([this] { beat(); });
}

void Heartbeat::accept_all(const Fd& listener, const std::string& token) {
  const auto deadline = Clock::now() + options_.patience;
  std::vector<bool> here(static_cast<size_t>(options_.size));
  while (peers_.size() + 1 < here.size()) {
    if (!wait_to_read(listener, deadline - Clock::now())) {
      fail("wait for heartbeats of " + std::to_string(here.size() - 1 - peers_.size()) + " ranks",
           ETIMEDOUT);
    }
    Peer peer;
    peer.socket.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer.socket) continue;
    const std::string hello = read_hello(peer.socket);
    if (hello.size() != kHelloBytes || !hello.starts_with(token)) continue;  // a stranger
    peer.rank = message_of(hello.substr(kTokenBytes));
    if (peer.rank <= 0 || peer.rank >= options_.size) continue;
    if (here[static_cast<size_t>(peer.rank)]) continue;
    here[static_cast<size_t>(peer.rank)] = true;
    peer.host = hello.c_str() + kTokenBytes + kMessageBytes;
    make_ready(peer.socket);
    peers_.push_back(std::move(peer));
  }
}

void Heartbeat::connect(const std::string& port, const std::string& token) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(options_.address.c_str(), port.c_str(), &hints, &found)) {
    throw Error(Errc::io, "ranks: look up ", options_.address, ": ", ::gai_strerror(error));
  }
  const Handle<addrinfo, ::freeaddrinfo> addresses(found);
  Peer peer;
  peer.host = options_.address;
  int error = EADDRNOTAVAIL;
  for (const addrinfo* a = found; a != nullptr && !peer.socket; a = a->ai_next) {
    peer.socket.reset(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (peer.socket && ::connect(peer.socket.get(), a->ai_addr, a->ai_addrlen) == 0) break;
    error = errno;
    peer.socket.reset();
  }
  if (!peer.socket) fail("connect to rank 0 at " + options_.address + ":" + port, error);
  std::string hello = token + message_bytes(options_.rank) + host_name();
  hello.resize(kHelloBytes);
  if (::send(peer.socket.get(), hello.data(), hello.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(hello.size())) {
    fail("greet rank 0", errno);
  }
  make_ready(peer.socket);
  // Rank 0 beats once all are there; before that its silence means nothing.
  if (!wait_to_read(peer.socket, options_.patience))
    fail("wait for heartbeats of rank 0", ETIMEDOUT);
  peers_.push_back(std::move(peer));
}

// One who does not read does not get it; that shows when he is silent, too.
void Heartbeat::tell_all(const std::string& bytes) {
  for (const Peer& peer : peers_) {
    static_cast<void>(
        ::send(peer.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
  }
}

// All that has arrived. `lost`: whom rank 0 says is lost.
Heartbeat::Heard Heartbeat::hear(Peer& peer, Lost& lost) const {
  Heard heard = Heard::nothing;
  for (;;) {
    char buffer[256];
    const ssize_t n = ::recv(peer.socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return heard;
    if (n <= 0) return Heard::end;
    peer.heard.append(buffer, static_cast<size_t>(n));
    for (; peer.heard.size() >= kMessageBytes; peer.heard.erase(0, kMessageBytes)) {
      heard = Heard::something;
      const int message = message_of(peer.heard);
      if (message == kGoodbye) return Heard::goodbye;
      if (message == kBeat) continue;
      if (peer.heard.size() < kMessageBytes + kHostBytes) break;
      lost = {message, peer.heard.substr(kMessageBytes, kHostBytes).c_str()};
      return Heard::loss;
    }
  }
}

void Heartbeat::beat() {
  const auto pause = std::max(silence_ / kBeatsInSilence, milliseconds(1));
  Clock::time_point told, listened = Clock::now();
  while (!peers_.empty()) {
    if (Clock::now() - told >= pause) {
      tell_all(message_bytes(kBeat));
      told = Clock::now();
    }
    std::vector<pollfd> waiting = {{.fd = woken_.get(), .events = POLLIN, .revents = 0}};
    for (const Peer& peer : peers_) {
      waiting.push_back({.fd = peer.socket.get(), .events = POLLIN, .revents = 0});
    }
    ::poll(waiting.data(), waiting.size(), static_cast<int>(pause.count()));
    if (waiting[0].revents != 0) break;

    const auto now = Clock::now();
    const auto passed = std::min<Clock::duration>(now - listened, 2 * pause);
    listened = now;
    for (auto peer = peers_.begin(); peer != peers_.end();) {
      peer->silence += passed;
      Lost lost{peer->rank, peer->host};
      const Heard heard = hear(*peer, lost);
      const auto silent = std::chrono::duration_cast<milliseconds>(peer->silence).count();
      if (heard == Heard::goodbye) {
        peer = peers_.erase(peer);
        continue;
      }
      if (heard == Heard::loss) return lose(lost, "is gone");
      if (heard == Heard::end) return lose(lost, "has ended without a word");
      if (peer->silence > silence_) {
        return lose(lost, "was silent for " + std::to_string(silent) + " ms");
      }
      if (heard == Heard::something) {
        if (2 * peer->silence > silence_) {
          log(Level::warn, "ranks.silence", {{"of", peer->rank}, {"ms", silent}});
        }
        peer->silence = {};
      }
      ++peer;
    }
  }
}

void Heartbeat::lose(const Lost& lost, const std::string& how) {
  if (options_.rank == 0) {
    std::string host = lost.host;
    host.resize(kHostBytes);
    tell_all(message_bytes(lost.rank) + host);
  }
  const auto now = [this](Verdict verdict) {
    const std::lock_guard lock(mutex_);
    verdict_ = verdict;
    changed_.notify_all();
  };
  now(Verdict::being_told);
  options_.on_lost("ranks: rank " + std::to_string(lost.rank) + " on " + lost.host + " " + how +
                   ": a rank was lost: run again to go on from the last checkpoint");
  now(Verdict::told);
}

void Heartbeat::await_verdict() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, silence_ + 2 * silence_ / kBeatsInSilence,
                    [this] { return verdict_ != Verdict::none; });
  changed_.wait(lock, [this] { return verdict_ != Verdict::being_told; });
}

// Closing with beats unread would reset the connection, and the goodbye could be lost on the way:
// so we read until the others close, too.
Heartbeat::~Heartbeat() {
  if (!thread_.joinable()) return;
  wake_.reset();
  thread_.join();
  tell_all(message_bytes(kGoodbye));
  for (const Peer& peer : peers_) ::shutdown(peer.socket.get(), SHUT_WR);
  const auto deadline = Clock::now() + silence_;
  for (Peer& peer : peers_) {
    Lost lost;
    while (wait_to_read(peer.socket, deadline - Clock::now()) &&
           hear(peer, lost) == Heard::something) {
    }
  }
}

}  // namespace cleared::train
