internal import Glibc

/// This process's environment for one that it starts, in which a crash ends at once: a backtrace takes
/// seconds, and whoever waits for the process would wait for it.
package func environmentOfChildren() -> [String] {
  let backtrace = "SWIFT_BACKTRACE="
  var variables = [backtrace + "enable=no"]
  var next = environ
  while let variable = next.pointee {
    let text = String(cString: variable)
    if !text.hasPrefix(backtrace) { variables.append(text) }
    next += 1
  }
  return variables
}
