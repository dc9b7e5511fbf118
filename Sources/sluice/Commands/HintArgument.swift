import ArgumentParser
import SluiceShared

/// Where `apply --hints` takes hints: `10.0.0.5:7400`, `[fd00::5]:7400`, `auto:7400`, or `off`.
enum HintArgument: ExpressibleByArgument, Equatable {
  case off
  case address(HintAddress)
  /// At the address under which others find this host.
  case own(port: UInt16)

  static func parse(_ text: String) throws -> HintArgument {
    guard let argument = HintArgument(argument: text) else {
      throw ValidationError(
        "give a numeric address of this host and a UDP port, such as 10.0.0.5:7400, or auto:7400, or off"
      )
    }
    return argument
  }

  init?(argument: String) {
    guard argument != "off" else {
      self = .off
      return
    }
    guard let parts = MetricsAddress(argument: argument) else { return nil }
    guard parts.host != "auto" else {
      self = .own(port: parts.port)
      return
    }
    // Of an address that stands for all nobody knows where to send.
    guard let address = HintAddress(host: parts.host, port: parts.port), !address.isUnspecified
    else { return nil }
    self = .address(address)
  }

  var defaultValueDescription: String {
    switch self {
    case .off: "off"
    case .address(let address): "\(address)"
    case .own(let port): "auto:\(port)"
    }
  }

  /// With the host's own address in place of `auto`. Throws `.invalid` where that cannot be told.
  func resolved() throws(StoreError) -> HintArgument {
    guard case .own(let port) = self else { return self }
    return .address(try OwnAddress.find(port: port))
  }
}
