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
        Reads = ValueSome 0UL
        ReadBytes = ValueSome 0UL<B>
        Writes = ValueSome 0UL
        WrittenBytes = ValueSome 0UL<B>
        BusyTime = ValueNone
        Detail = ValueNone
    }

let private interface' name : NetDev.InterfaceCounters =
    {
        Name = name
        Received = Unchecked.defaultof<NetDev.Traffic>
        Sent = Unchecked.defaultof<NetDev.Traffic>
        Detail = ValueNone
    }

let private interfacesWith (layers: (string * NetClass.Layer) list) : NetClass.Table =
    layers
    |> List.map (fun (name, layer) ->
        name,
        ({
            Kind = "any"
            Master = ""
            Layer = layer
        }
        : NetClass.Interface))
    |> dict
    |> Collections.Generic.Dictionary
    :> NetClass.Table

let private fault source field : ParseError =
    {
        Source = source
        Line = 4
        Field = field
        Raw = "x"
        Expected = "a whole number"
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

            testCase "a reading that lost a line is whole where nothing that counts can be in it"
            <| fun () ->
                let known =
                    interfacesWith
                        [
                            "enp1s0", NetClass.Layer.Physical
                            "enp2s0", NetClass.Layer.Physical
                            "br5", NetClass.Layer.Bridge
                            "lo", NetClass.Layer.Never
                        ]

                let isWhole known (wanted: string list) (read: string list) (fields: string list) =
                    let tracked = read |> List.map interface' |> Array.ofList

                    Devices.isWhole
                        known
                        (Array.ofList wanted)
                        tracked
                        (Devices.counted known (Array.ofList wanted) tracked)
                        (fields |> List.map (fault NetDev.Source) |> Array.ofList)

                let ofPort = isWhole known [] [ "enp1s0"; "br5" ]
                Expect.isTrue (ofPort []) "nothing lost"
                Expect.isFalse (ofPort [ "tx drop of enp2s0" ]) "a port"
                Expect.isTrue (ofPort [ "tx drop of br5"; "rx bytes of lo" ]) "what the totals do not count"
                Expect.isFalse (ofPort [ "tx drop of br5"; "interface" ]) "a line that does not say whose it is"
                Expect.isTrue (ofPort (List.replicate 7 "tx drop of br5")) "seven faults are all of them"
                Expect.isFalse (ofPort (List.replicate 8 "tx drop of br5")) "of more than eight the others are not known"
                Expect.isFalse (isWhole known [] [ "br5" ] [ "rx errs of enp1s0" ]) "without the port the bridge would count"
                Expect.isFalse (isWhole NetClass.unknown [] [ "enp1s0" ] [ "rx errs of enp7s0" ]) "a port by its name"
                Expect.isTrue (isWhole NetClass.unknown [] [ "enp1s0" ] [ "rx errs of docker0" ]) "a bridge by its name"
                Expect.isTrue (isWhole known [ "br5" ] [ "br5" ] [ "rx errs of enp1s0"; "interface" ]) "all that the user wants is there"
                Expect.isFalse (isWhole known [ "br5"; "enp1s0" ] [ "br5" ] [ "rx errs of enp1s0" ]) "one that the user wants is not"
                Expect.isFalse (isWhole known [ "br5"; "enp1s0" ] [ "br5" ] [ "the last line" ]) "it may be in the torn line"
                Expect.isTrue (isWhole known [ "br5"; "wlan3" ] [ "br5" ] [ "rx errs of enp1s0" ]) "one that never was is in no line"

            testCase "faults of other files leave the network whole"
            <| fun () ->
                let all = [| interface' "enp1s0" |]
                Expect.isTrue (Devices.isWhole NetClass.unknown [||] all all [| fault DiskStats.Source "sectors read of sda" |]) "whole"

            testCase "an interface that counts and did not before brings along what it counted elsewhere"
            <| fun () ->
                let port, later = interface' "enp1s0", interface' "enp7s0"
                let known = interfacesWith [ "enp1s0", NetClass.Layer.Physical ]
                let both = interfacesWith [ "enp1s0", NetClass.Layer.Physical; "enp7s0", NetClass.Layer.Physical ]

                let reading known tracked : Devices.NetworkReading =
                    {
                        Known = known
                        Interfaces = tracked
                        Faults = [||]
                    }

                let isContinued wanted (before: Devices.NetworkReading) (now: Devices.NetworkReading) =
                    Devices.areContinued wanted before now (Devices.counted now.Known wanted now.Interfaces)

                let alone = reading known [| port |]
                let came = reading both [| port; later |]
                Expect.isFalse (isContinued [||] alone came) "a virtual function that another namespace gave back"
                Expect.isFalse (isContinued [||] alone (reading known [| port; later |])) "/sys was not read since"

                Expect.isFalse
                    (isContinued [||] (reading NetClass.unknown [| port |]) (reading NetClass.unknown [| port; later |]))
                    "there is no /sys"

                Expect.isFalse (isContinued [| "enp1s0"; "enp7s0" |] alone came) "one that the user named"
                Expect.isTrue (isContinued [||] came came) "it counted before"
                Expect.isTrue (isContinued [||] came alone) "one that went leaves a smaller total"
                Expect.isTrue (isContinued [||] alone (reading known [| port; interface' "veth5c" |])) "one that does not count"
                Expect.isTrue (isContinued [||] (reading known [||]) came) "nothing counted before"

                Expect.isTrue
                    (isContinued
                        [||]
                        { alone with
                            Faults = [| fault NetDev.Source "rx bytes of enp7s0" |]
                        }
                        came)
                    "its line was not read before, and the total not known"

                let bridge = interfacesWith [ "enp1s0", NetClass.Layer.Top; "enp7s0", NetClass.Layer.Bridge ]

                let ported = interfacesWith [ "enp1s0", NetClass.Layer.Never; "enp7s0", NetClass.Layer.Bridge ]

                Expect.isFalse
                    (isContinued [||] (reading bridge [| port; later |]) (reading ported [| port; later |]))
                    "a bridge that took over its only port, though no name changed"

            testCase "selecting leaves the parsed order alone"
            <| fun () ->
                let disks = disksOf "kernel-6.8"
                Devices.selectDisks BlockDevices.unknown [||] disks |> ignore
                Expect.equal disks[0].Device "loop0" "the first of the text"
        ]
