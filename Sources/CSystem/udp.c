#define _GNU_SOURCE
#include "csystem.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static socklen_t to_system(const struct csystem_udp_address *address, struct sockaddr_storage *system) {
  uint64_t words[2] = {htobe64(address->high), htobe64(address->low)};
  memset(system, 0, sizeof *system);
  if (address->six) {
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)system;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(address->port);
    memcpy(&six->sin6_addr, words, 16);
    return sizeof *six;
  }
  struct sockaddr_in *four = (struct sockaddr_in *)system;
  four->sin_family = AF_INET;
  four->sin_port = htons(address->port);
  memcpy(&four->sin_addr, words, 4);
  return sizeof *four;
}

static void from_system(const struct sockaddr_storage *system, struct csystem_udp_address *address) {
  uint64_t words[2] = {0, 0};
  address->six = system->ss_family == AF_INET6;
  if (address->six) {
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)system;
    address->port = ntohs(six->sin6_port);
    memcpy(words, &six->sin6_addr, 16);
  } else {
    const struct sockaddr_in *four = (const struct sockaddr_in *)system;
    address->port = ntohs(four->sin_port);
    memcpy(words, &four->sin_addr, 4);
  }
  address->high = be64toh(words[0]);
  address->low = be64toh(words[1]);
}

int csystem_udp_open(struct csystem_udp_address *address) {
  int fd = socket(address->six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  // Room for what comes while a group is executed; as much as the system grants.
  int room = 1 << 20;
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  struct sockaddr_storage system;
  socklen_t length = to_system(address, &system);
  if (bind(fd, (struct sockaddr *)&system, length) != 0 ||
      getsockname(fd, (struct sockaddr *)&system, &length) != 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  from_system(&system, address);
  return fd;
}

void csystem_udp_send(int socket, const void *bytes, size_t count, const struct csystem_udp_address *to) {
  struct sockaddr_storage system;
  socklen_t length = to_system(to, &system);
  (void)sendto(socket, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&system, length);
}

int csystem_udp_receive(int socket, void *bytes, size_t room, struct csystem_udp_address *from) {
  struct sockaddr_storage system;
  socklen_t length = sizeof system;
  memset(&system, 0, sizeof system);
  ssize_t count = recvfrom(socket, bytes, room, MSG_DONTWAIT, (struct sockaddr *)&system, &length);
  if (count < 0) return -1;
  from_system(&system, from);
  return (int)count;
}

void csystem_udp_wait(int socket, int event, int64_t nanoseconds) {
  struct pollfd polled[2] = {{.fd = socket, .events = POLLIN}, {.fd = event, .events = POLLIN}};
  struct timespec limit = {
      .tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  (void)ppoll(polled, 2, &limit, NULL);
}

int csystem_event_open(void) {
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

void csystem_event_set(int event) {
  uint64_t one = 1;
  (void)!write(event, &one, sizeof one);
}

int csystem_event_take(int event) {
  uint64_t count = 0;
  return read(event, &count, sizeof count) == sizeof count;
}

int csystem_udp_parse(const char *host, struct csystem_udp_address *address) {
  uint64_t words[2] = {0, 0};
  if (inet_pton(AF_INET, host, words) == 1) {
    address->six = 0;
  } else if (inet_pton(AF_INET6, host, words) == 1) {
    address->six = 1;
  } else {
    return -1;
  }
  address->high = be64toh(words[0]);
  address->low = be64toh(words[1]);
  return 0;
}

static int is_usable(const struct ifaddrs *interface) {
  if (!interface->ifa_addr || !(interface->ifa_flags & IFF_UP) || (interface->ifa_flags & IFF_LOOPBACK)) return 0;
  if (interface->ifa_addr->sa_family == AF_INET) {
    uint32_t four = ntohl(((struct sockaddr_in *)interface->ifa_addr)->sin_addr.s_addr);
    return four >> 16 != 0xa9fe;  // 169.254.0.0/16
  }
  return interface->ifa_addr->sa_family == AF_INET6 &&
         !IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)interface->ifa_addr)->sin6_addr);
}

int csystem_udp_own(struct csystem_udp_address *found, int room) {
  struct ifaddrs *interfaces;
  if (getifaddrs(&interfaces) != 0) return -errno;
  int count = 0;
  for (struct ifaddrs *interface = interfaces; interface; interface = interface->ifa_next) {
    if (!is_usable(interface)) continue;
    if (count < room) {
      struct sockaddr_storage system;
      memset(&system, 0, sizeof system);
      memcpy(&system, interface->ifa_addr,
             interface->ifa_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                        : sizeof(struct sockaddr_in));
      from_system(&system, &found[count]);
      found[count].port = 0;
    }
    count++;
  }
  freeifaddrs(interfaces);
  return count;
}

int csystem_udp_source(const struct csystem_udp_address *peer, struct csystem_udp_address *source) {
  int fd = socket(peer->six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct sockaddr_storage system;
  socklen_t length = to_system(peer, &system);
  int error = 0;
  if (connect(fd, (struct sockaddr *)&system, length) != 0 ||
      getsockname(fd, (struct sockaddr *)&system, &length) != 0) {
    error = errno;
  } else {
    from_system(&system, source);
    source->port = 0;
  }
  close(fd);
  return -error;
}

void csystem_udp_format(const struct csystem_udp_address *address, char *text) {
  uint64_t words[2] = {htobe64(address->high), htobe64(address->low)};
  if (!inet_ntop(address->six ? AF_INET6 : AF_INET, words, text, INET6_ADDRSTRLEN)) text[0] = 0;
}

uint64_t csystem_loopback(void) {
  char boot[64] = {0};
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t count = read(fd, boot, sizeof boot - 1);
  close(fd);
  struct stat network;
  if (count <= 0 || stat("/proc/self/ns/net", &network) != 0) return 0;
  // FNV-1a: it only tells hosts apart.
  uint64_t hash = 0xcbf29ce484222325u;
  for (ssize_t i = 0; i < count; i++) hash = (hash ^ (uint8_t)boot[i]) * 0x100000001b3u;
  for (int i = 0; i < 8; i++) {
    hash = (hash ^ (uint8_t)((uint64_t)network.st_ino >> (8 * i))) * 0x100000001b3u;
  }
  return hash == 0 ? 1 : hash;
}
