/// What /sys says of disks and network interfaces, with links as the kernel makes them, and when it is looked at again.
module Agent.Host.Tests.DeviceFilesTests

open System
open System.IO
open Agent.Core
open Agent.Sender
open Agent.Core.Sys
open Agent.Host
open Agent.Host.Sampling
open Agent.Host.Reading
open Agent.Host.Service
open Agent.TestSupport
open Agent.Host.Tests.VirtualClock
open Expecto

/// A /sys below a directory, made of files and links.
type private Tree(top: string) =
    let at (path: string) =
        let path = Path.Join(top, path)
        Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
        path

    member _.Directory(path: string) =
        Directory.CreateDirectory(at path) |> ignore

    member _.File(path: string, content: string) = File.WriteAllText(at path, content)

    member _.Link(path: string, target: string) =
        File.CreateSymbolicLink(at path, target) |> ignore

    member _.Delete(path: string) = File.Delete(at path)

    /// A device on the PCI bus with an interface, as the kernel lays it out.
    member this.Port(name: string, number: int) =
        let pci = $"devices/pci0000:00/0000:00:0{number}.0"
        this.File($"{pci}/vendor", "0x15b3\n")
        this.Link($"{pci}/driver", "../../../bus/pci/drivers/mlx5_core")
        this.Link($"{pci}/subsystem", "../../../bus/pci")
        this.Link($"{pci}/net/{name}/device", $"../../../0000:00:0{number}.0")
        this.File($"{pci}/net/{name}/type", "1\n")
        this.File($"{pci}/net/{name}/uevent", $"INTERFACE={name}\n")
        this.Link($"class/net/{name}", $"../../{pci}/net/{name}")

let private kindOf (known: Devices.Known) name =
    match known.Interfaces.TryGetValue name with
    | true, found -> found.Kind, found.Master
    | _ -> "", ""

let private machine = Fixtures.pathOf "vm-2core-6.18/first"

[<Tests>]
let tests =
    testList
        "Host.DeviceFiles"
        [
            testCase "links as the kernel makes them"
            <| fun () ->
                World.withDirectory (fun top ->
                    let sys = Tree top
                    sys.Port("eth0", 1)
                    sys.Port("eth1", 2)
                    sys.Directory "devices/virtual/net/bond0/bonding"
                    sys.File("devices/virtual/net/bond0/bonding/slaves", "eth0 eth1\n")
                    sys.Link("devices/virtual/net/bond0/lower_eth0", "../../../pci0000:00/0000:00:01.0/net/eth0")
                    sys.Link("class/net/bond0", "../../devices/virtual/net/bond0")
                    sys.Link("devices/pci0000:00/0000:00:01.0/net/eth0/master", "../../../../virtual/net/bond0")
                    sys.File("class/net/bonding_masters", "bond0\n")
                    sys.Link("class/net/gone", "../../devices/virtual/net/gone")
                    sys.Link("devices/pci0000:00/0000:00:03.0/ata1/block/sda/device", "../../../ata1")
                    sys.File("devices/pci0000:00/0000:00:03.0/ata1/block/sda/queue/iostats", "0\n")
                    sys.Link("block/sda", "../devices/pci0000:00/0000:00:03.0/ata1/block/sda")
                    sys.File("block/cciss!c0d0/device/vendor", "HP\n")
                    sys.Directory "block/md0"
                    sys.File("block/nbd0/size", "0\n")
                    let known = DeviceFiles(top).Read()

                    Expect.equal
                        [
                            for name in [ "eth0"; "eth1"; "bond0"; "bonding_masters"; "gone" ] -> kindOf known name
                        ]
                        [ "physical", "bond0"; "physical", "bond0"; "bond", ""; "", ""; "", "" ]
                        "interfaces"

                    Expect.equal
                        [
                            for name in [ "sda"; "cciss/c0d0"; "md0"; "nbd0"; "sdb" ] -> Devices.isDisk known.Blocks name
                        ]
                        [ true; true; false; false; true ]
                        "disks"

                    Expect.isTrue (known.Blocks.Uncounted.Contains "sda") "its I/O is not counted")

            testCase "an interface that came is looked at, the others only when all is"
            <| fun () ->
                World.withDirectory (fun top ->
                    let sys = Tree top
                    sys.Port("eth0", 1)
                    let files = DeviceFiles top
                    files.Read() |> ignore
                    sys.Port("eth1", 2)
                    sys.Link("devices/pci0000:00/0000:00:01.0/net/eth0/master", "../bond0")
                    let soon = files.Read false
                    Expect.equal (kindOf soon "eth0", kindOf soon "eth1") (("physical", ""), ("physical", "")) "the new one"
                    Expect.equal (kindOf (files.Read()) "eth0") ("physical", "bond0") "all"
                    sys.Delete "class/net/eth1"
                    Expect.equal (kindOf (files.Read false) "eth1") ("", "") "one that went")

            testCase "all devices are looked at after a minute, and no sooner"
            <| fun () ->
                World.withDirectory (fun top ->
                    let sys = Tree top
                    sys.Port("eth0", 1)
                    let clock = ManualClock()
                    let source = DeviceSource(top, clock)
                    let first = source.Read()
                    Expect.equal (kindOf first.Value "eth0", first.Next) (("physical", ""), TimeSpan.FromMinutes 1.0) "the first look"
                    sys.Link("devices/pci0000:00/0000:00:01.0/net/eth0/master", "../bond0")
                    clock.Advance(TimeSpan.FromSeconds 59.999)
                    let between = source.Read()
                    Expect.equal (kindOf between.Value "eth0", between.Next) (("physical", ""), TimeSpan.FromSeconds 1.0) "too soon"
                    clock.Advance(TimeSpan.FromMilliseconds 1.0)
                    Expect.equal (kindOf (source.Read().Value) "eth0") ("physical", "bond0") "after a minute")

            testCase "a look that takes long comes so rarely that it takes a thousandth of the time"
            <| fun () ->
                let pause (milliseconds: float) =
                    (DeviceSource.Pause(TimeSpan.FromMilliseconds milliseconds)).TotalSeconds

                Expect.equal (pause 0.0, pause 60.0, pause 61.0, pause 200.0) (60.0, 60.0, 61.0, 200.0) "at least a minute"

            testCase "a machine without /sys"
            <| fun () ->
                let known = DeviceFiles("/nowhere").Read()
                Expect.equal (known.Interfaces.Count, known.Blocks.Disks.Count) (0, 0) "nothing known"

            testCase "this machine's loopback"
            <| fun () ->
                if Directory.Exists "/sys/class/net/lo" then
                    Expect.equal (kindOf (DeviceFiles("/sys").Read()) "lo") ("loopback", "") "by its type"
                else
                    Skip.because "no /sys"

            testCase "a sample asks for another look exactly when a device came or went"
            <| fun () ->
                World.withDirectory (fun proc ->
                    for file in Directory.GetFiles(machine + "/proc") do
                        File.Copy(file, Path.Join(proc, Path.GetFileName file))

                    Directory.CreateDirectory(Path.Join(proc, "net")) |> ignore
                    let captured = File.ReadAllText(machine + "/proc/net/dev")
                    let netDev = Path.Join(proc, "net/dev")
                    File.WriteAllText(netDev, captured)
                    let clock = ManualClock()

                    use files = new ProcFiles(proc, "/nowhere", clock, Func<_>(fun () -> SlowReadings.None))
                    let sampler = Sampler(files, CommandLine.settingsWith [], clock)
                    let take () = sampler.Take().HasOtherDevices

                    Expect.equal [ take (); take () ] [ false; false ] "nothing changed"
                    File.WriteAllText(netDev, captured + "  eth7: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n")
                    Expect.equal [ take (); take () ] [ true; false ] "one came"
                    File.WriteAllText(netDev, captured + "  eth8: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n")
                    Expect.equal [ take (); take () ] [ true; false ] "one took another's place"
                    File.AppendAllText(Path.Join(proc, "diskstats"), "   8 0 sdx 1 0 8 1 1 0 8 1 0 1 1\n")
                    Expect.equal [ take (); take () ] [ true; false ] "a disk came")
        ]
