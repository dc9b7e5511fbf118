import ArgumentParser
import SluiceShared

/// Where `apply --hints` takes hints: `10.0.0.5:7400`, `[fd00::5]:7400`, or `off`.
enum HintArgument: ExpressibleByArgument, Equatable {
  case off
  case address(HintAddress)

  init?(argument: String) {
    guard argument != "off" else {
      self = .off
      return
    }
    // Of an address that stands for all nobody knows where to send.
    guard let parts = MetricsAddress(argument: argument),
      let address = HintAddress(host: parts.host, port: parts.port), !address.isUnspecified
    else { return nil }
    self = .address(address)
  }

  var defaultValueDescription: String {
    switch self {
    case .off: "off"
    case .address(let address): "\(address)"
    }
  }
}
