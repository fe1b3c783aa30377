module Agent.Core.Tests.DevicesTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private disksOf (machine: string) =
    want (
        DiskStats.parse (ReadOnlySpan(bytes $"{machine}/proc/diskstats"))
        |> Parsed.strict
    )

let private interfacesOf (machine: string) =
    want (NetDev.parse (ReadOnlySpan(bytes $"{machine}/proc/net/dev")) |> Parsed.strict)

let private disk name : DiskStats.DiskCounters =
    {
        Device = name
        Reads = 0UL
        ReadBytes = 0UL<B>
        Writes = 0UL
        WrittenBytes = 0UL<B>
        BusyTime = ValueNone
        Detail = ValueNone
    }

let private namesOf (selection: Devices.Selection<DiskStats.DiskCounters>) =
    selection.Tracked |> Array.map (fun disk -> disk.Device)

[<Tests>]
let tests =
    testList
        "Devices"
        [
            testCase "of the captured devices only the virtio disk is physical"
            <| fun () ->
                Expect.equal (namesOf (Devices.selectDisks BlockDevices.unknown [||] (disksOf "vm-2core-6.18/first"))) [| "vda" |] "names"

            testCase "what is found is sorted by name, whatever the kernel's order"
            <| fun () ->
                Expect.equal
                    (namesOf (Devices.selectDisks BlockDevices.unknown [||] (disksOf "kernel-6.8")))
                    [| "mmcblk0"; "nvme0n1"; "nvme1n1" |]
                    "names"

            testCase "what the user names is tracked in the user's order, virtual or not"
            <| fun () ->
                let selection =
                    Devices.selectDisks BlockDevices.unknown [| "zram0"; "nvme0n1p2"; "dm-0" |] (disksOf "kernel-6.8")

                Expect.equal (namesOf selection) [| "zram0"; "nvme0n1p2"; "dm-0" |] "names"
                Expect.equal selection.Missing [||] "missing"

            testCase "names that are not there are told, in their order"
            <| fun () ->
                let selection =
                    Devices.selectDisks BlockDevices.unknown [| "sdz"; "nvme1n1"; "sdy" |] (disksOf "kernel-6.8")

                Expect.equal (namesOf selection) [| "nvme1n1" |] "names"
                Expect.equal selection.Missing [| "sdz"; "sdy" |] "missing"

            testCase "a user whose disks are all missing tracks none, not the default ones"
            <| fun () ->
                let selection = Devices.selectDisks BlockDevices.unknown [| "sdz" |] [| disk "sda" |]
                Expect.equal (namesOf selection, selection.Missing) ([||], [| "sdz" |]) "none"

            testCase "case matters in names"
            <| fun () -> Expect.equal (Devices.selectDisks BlockDevices.unknown [| "SDA" |] [| disk "sda" |]).Missing [| "SDA" |] "missing"

            testCase "no disks, nothing tracked"
            <| fun () -> Expect.equal (namesOf (Devices.selectDisks BlockDevices.unknown [||] [||])) [||] "none"

            testCase "names lose blanks and /dev/, repeats go, the order stays"
            <| fun () ->
                Expect.equal
                    (Devices.normalizeDisks
                        [|
                            " sdb "
                            "/dev/nvme0n1"
                            ""
                            "nvme0n1"
                            "/dev/sdb"
                            " "
                            "/dev/cciss/c0d0"
                            "/dev/"
                        |])
                    [| "sdb"; "nvme0n1"; "cciss/c0d0" |]
                    "names"

            testCase "/dev/ within a name stays"
            <| fun () -> Expect.equal (Devices.normalizeDisks [| "a/dev/b" |]) [| "a/dev/b" |] "name"

            testCase "every interface but the loopback, sorted"
            <| fun () ->
                let selection = Devices.selectInterfaces [||] (interfacesOf "vm-2core-6.18/first")
                Expect.equal (selection.Tracked |> Array.map (fun i -> i.Name)) [| "eth0"; "ifb0"; "ifb1" |] "names"

            testCase "a name that only starts like the loopback's is tracked"
            <| fun () ->
                let lo1 =
                    { (interfacesOf "vm-2core-6.18/first")[0] with
                        Name = "lo1"
                    }

                Expect.hasLength (Devices.selectInterfaces [||] [| lo1 |]).Tracked 1 "lo1"

            testCase "a user can name the loopback, and exactly the named interfaces count"
            <| fun () ->
                let selection = Devices.selectInterfaces [| "lo"; "wlan0" |] (interfacesOf "vm-2core-6.18/first")
                Expect.equal (selection.Tracked |> Array.map (fun i -> i.Name)) [| "lo" |] "tracked"
                Expect.equal selection.Missing [| "wlan0" |] "missing"

            testCase "an interface that is named twice is tracked once"
            <| fun () ->
                let selection = Devices.selectInterfaces [| "eth0"; "eth0" |] (interfacesOf "vm-2core-6.18/first")
                Expect.equal (selection.Tracked |> Array.map (fun i -> i.Name)) [| "eth0" |] "its bytes count once"

            testCase "selecting leaves the parsed order alone"
            <| fun () ->
                let disks = disksOf "kernel-6.8"
                Devices.selectDisks BlockDevices.unknown [||] disks |> ignore
                Expect.equal disks[0].Device "loop0" "the first of the text"
        ]
