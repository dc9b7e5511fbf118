/// Why a run cannot go on: one sentence that says what to do.
package struct RunError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}
