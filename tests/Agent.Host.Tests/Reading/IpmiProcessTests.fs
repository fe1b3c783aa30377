/// Why ipmitool cannot talk to the management controller.
module Agent.Host.Tests.IpmiProcessTests

open System
open System.IO
open Agent.Host.Reading
open Agent.TestSupport
open Expecto

[<Tests>]
let tests =
    testList
        "Host.IpmiProcess"
        [
            testCase "a device is denied where it is there and may not be opened"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "ipmi0")
                    Expect.isFalse (IpmiProcess.IsDenied path) "not there"
                    Expect.isFalse (IpmiProcess.IsDenied(Path.Combine(path, "0"))) "not there, nor its directory"
                    File.WriteAllText(path, "")
                    Expect.isFalse (IpmiProcess.IsDenied path) "its owner's"
                    File.SetUnixFileMode(path, UnixFileMode.UserRead)
                    // Root may do everything.
                    Expect.equal (IpmiProcess.IsDenied path) (not Environment.IsPrivilegedProcess) "without the right to write"
                    Expect.isFalse (IpmiProcess.IsDenied(Path.Combine(path, "0"))) "a directory that is none")
        ]
