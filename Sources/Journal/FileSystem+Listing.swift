package import SluiceShared

extension FileSystem {
  /// The names in a directory, none where there is no such directory: copies of a store may lack those that were
  /// empty, as object stores have none.
  package func listed(ifThere directory: String) throws(StoreError) -> [String] {
    do throws(StoreError) { return try list(directory) } catch {
      guard error.isNoSuchFile else { throw error }
      return []
    }
  }
}
