import ArgumentParser
import Foundation
import SluiceShared
import Testing

@testable import sluice

/// `docs/OPERATIONS.md` is followed literally, at night: what it has copied into a shell or a unit file fits
/// together.
@Suite("What OPERATIONS tells to type is what the command takes, for the layout that it describes")
struct OperationsTests {
  private let text: String
  /// The code blocks.
  private let blocks: [String]

  init() throws {
    let place = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../docs/OPERATIONS.md")
    text = try String(contentsOf: place, encoding: .utf8)
    blocks = text.components(separatedBy: "\n```\n").enumerated().filter { $0.offset % 2 == 1 }
      .map(\.element)
  }

  /// The users, groups and directories that the page has made.
  private struct Layout {
    var user = ""
    var userNumber = ""
    /// The applier's primary group.
    var group = ""
    var groupNumbers: [String: String] = [:]
    /// The group that writers are added to.
    var writersGroup = ""
    var directory = ""
    var directoryGroup = ""
    var store = ""
  }

  @Test("Each metric has its line")
  func metrics() {
    for measure in Measure.allCases { #expect(text.contains("`\(measure.rawValue)`")) }
  }

  /// Without the comment, and what it is piped into.
  private func words(_ line: Substring) -> [String] {
    let end = line.firstIndex { $0 == "#" || $0 == "|" } ?? line.endIndex
    return line[..<end].split(separator: " ").map { String($0) }
  }

  private func layout() throws -> Layout {
    let block = try #require(blocks.first { $0.contains("groupadd") })
    var layout = Layout()
    for line in block.split(separator: "\n") {
      let words = words(line)
      func value(_ option: String) throws -> String {
        let place = try #require(words.firstIndex(of: option), "\(line)")
        return try #require(words.dropFirst(place + 1).first, "\(line)")
      }
      let last = try #require(words.last)
      switch words[0] {
      case "groupadd": layout.groupNumbers[last] = try value("-g")
      case "useradd":
        layout.user = last
        layout.userNumber = try value("-u")
        layout.group = try value("-g")
      case "install":
        layout.directory = last
        layout.directoryGroup = try value("-g")
        #expect(try value("-o") == layout.user)
        // The group may enter it, others may not.
        #expect(try value("-m") == "0750")
      case "usermod": layout.writersGroup = try value("-aG")
      case "runuser":
        #expect(try value("-u") == layout.user)
        layout.store = last
      default: Issue.record("\(line)")
      }
    }
    return layout
  }

  private func applyCommand(_ words: [String]) throws -> ApplyCommand {
    let command = try Sluice.parseAsRoot(Parameter.marked(words))
    return try #require(command as? ApplyCommand)
  }

  @Test func groups() throws {
    let layout = try layout()
    #expect(layout.groupNumbers.count == 2 && layout.user != "")
    #expect(layout.group != layout.writersGroup)
    #expect(layout.directoryGroup == layout.writersGroup)
    #expect(layout.store.hasPrefix(layout.directory + "/"))
  }

  @Test func unit() throws {
    let layout = try layout()
    let block = try #require(blocks.first { $0.contains("[Service]") })
    var settings: [String: String] = [:]
    for line in block.split(separator: "\n") where !line.hasPrefix("[") {
      let parts = line.split(separator: "=", maxSplits: 1)
      settings[String(parts[0])] = String(try #require(parts.last))
    }
    #expect(settings["User"] == layout.user)
    // Another one could not read the segments, which have the group of `journal/`.
    #expect(settings["Group"] == layout.group)
    let mount = try #require(settings["RequiresMountsFor"])
    #expect(layout.store.hasPrefix(mount + "/"))
    let command = words(Substring(try #require(settings["ExecStart"])))
    #expect(try #require(command.first).hasSuffix("/sluice"))
    #expect(try applyCommand(Array(command.dropFirst())).stores == [layout.store])
  }

  /// The template's appliers are those of the page, and what they are started with is taken.
  @Test func task() throws {
    let layout = try layout()
    let place = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../infra/sluice.yaml")
    let template = try String(contentsOf: place, encoding: .utf8)
    let applier = try #require(template.firstRange(of: "- Name: applier")?.upperBound)
    let container = template[applier...]
    let group = try #require(layout.groupNumbers[layout.group])
    let user = "User: \"\(layout.userNumber):\(group)\""
    #expect(container.firstRange(of: user) != nil)
    let start = try #require(container.firstRange(of: "Command:\n")?.upperBound)
    let command = try container[start...].split(separator: "\n")
      .map { $0.trimmingPrefix(#/ +/#) }.prefix { $0.hasPrefix("- ") }
      .map { try word($0.dropFirst(2), template) }
    #expect(try applyCommand(command).stores == ["/mnt/efs/store"])
    let writers = try #require(layout.groupNumbers[layout.writersGroup])
    #expect(template.contains("{OwnerUid: \"\(layout.userNumber)\", OwnerGid: \"\(writers)\""))
  }

  /// An argument of the template's: a text, or a parameter's default.
  private func word(_ text: Substring, _ template: String) throws -> String {
    var text = String(text)
    for reference in text.matches(of: /!Ref (\w+)|\$\{(\w+)\}/).reversed() {
      let name = try #require(reference.1 ?? reference.2)
      let parameter = try #require(template.firstRange(of: "\n  \(name):\n")?.upperBound)
      let value = try #require(template[parameter...].firstMatch(of: /Default: (.+)/)?.1)
      text.replaceSubrange(reference.range, with: value)
    }
    return text.replacing("!Sub ", with: "").replacing("\"", with: "")
  }

  /// Without what is optional, in brackets, and whatever stands before the command.
  @Test func everyCommandLine() throws {
    var count = 0
    for line in blocks.flatMap({ $0.split(separator: "\n") }) {
      let words = words(line.replacing(/\[[^\]]*\]/, with: ""))
      guard let start = words.lastIndex(of: "sluice"),
        words[..<start].allSatisfy({ ["$", "runuser", "-u", "sluice", "--"].contains($0) })
      else { continue }
      let arguments = words[start...].drop { $0 == "sluice" || $0 == "--" }
      #expect(throws: Never.self, "\(line)") {
        _ = try Sluice.parseAsRoot(Parameter.marked(Array(arguments)))
      }
      count += 1
    }
    #expect(count >= 6)
  }
}
