// Sockets on 127.0.0.1 for tests that do a launcher's work.
#pragma once

#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ledger/base/file.h"

namespace cleared::train {

// Bound, not yet listening; the children of this process inherit it. Empty when the port is taken.
inline Fd bind_loopback(int port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
  return fd;
}

// A port that nobody has, and that the system gives to no outgoing connection, as it does those
// from 32768 on: whoever binds it soon finds it free. Tests that run at the same time start their
// search at different places.
inline int free_port() {
  constexpr int kFirst = 10'000, kPorts = 20'000;
  static int tried = 0;
  for (; tried < kPorts; ++tried) {
    const int port = kFirst + (::getpid() * 16 + tried) % kPorts;
    if (!bind_loopback(port)) continue;
    ++tried;
    return port;
  }
  throw std::runtime_error("no free port");
}

}  // namespace cleared::train
