package import SluiceShared

/// A store as one process has it: which store it is, where its files lie, and through what they are reached.
///
/// The three belong together: every file says in its header which store it is of, and whoever opens one compares
/// that. Two handles with one id may be of two places: a copy of a store has its id.
package struct StoreHandle: Sendable {
  package let layout: StoreLayout
  package let id: StoreID
  package let environment: Environment

  package init(layout: StoreLayout, id: StoreID, environment: Environment) {
    self.layout = layout
    self.id = id
    self.environment = environment
  }

  /// The store at `layout`, as its `store.json` says. Throws as `StoreDescription.read` does.
  package init(at layout: StoreLayout, _ environment: Environment) throws(StoreError) {
    let description = try StoreDescription.read(layout, environment.fileSystem)
    self.init(layout: layout, id: description.id, environment: environment)
  }

  package var fileSystem: any FileSystem { environment.fileSystem }
}
