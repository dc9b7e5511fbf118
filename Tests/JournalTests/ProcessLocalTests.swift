import Glibc
import SluiceShared
import Testing

@Suite("What threads of a process share, a forked child has anew")
struct ProcessLocalTests {
  /// Runs `body` in a forked child, for at most ten seconds; true where it returned true.
  private func child(_ body: () -> Bool) throws -> Bool {
    // Swift does not import fork(2): what it calls in a child may take locks of threads that are not there.
    let symbol = try #require(dlsym(nil, "fork"))
    let fork = unsafeBitCast(symbol, to: (@convention(c) () -> Int32).self)
    let process = fork()
    if process == 0 {
      alarm(10)
      _exit(body() ? 0 : 1)
    }
    var status: Int32 = -1
    while waitpid(process, &status, 0) == -1, errno == EINTR {}
    return status == 0
  }

  @Test func aChildIsNotHeldUpByALockOfItsParents() throws {
    let local = ProcessLocal<Int> { 1 }
    local.withLock { $0 = 7 }
    let (held, done) = (Monitor(false), Monitor(false))
    startThread {
      local.withLock { _ in
        held.withLock { $0 = true }
        held.wakeAll()
        done.wait { $0 ? () : nil }
      }
    }
    held.wait { $0 ? () : nil }
    let forks = forksOfProcess()
    let began = try child { forksOfProcess() == forks + 1 && local.withLock { $0 == 1 } }
    done.withLock { $0 = true }
    done.wakeAll()
    #expect(began)
    #expect(forksOfProcess() == forks)
    #expect(local.withLock { $0 } == 7)
  }

  @Test func threadsShareIt() {
    let local = ProcessLocal<Int> { 0 }
    ThreadExecutor.shared.concurrently(8) { _ in
      for _ in 0..<1000 { local.withLock { $0 += 1 } }
    }
    #expect(local.withLock { $0 } == 8000)
  }
}
