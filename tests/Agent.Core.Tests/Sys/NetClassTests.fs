module Agent.Core.Tests.Sys.NetClassTests

open Agent.Core
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

/// Interfaces by name, each with its files below /sys/class/net.
let private table (interfaces: (string * (string * string) list) list) : NetClass.Table =
    NetClass.parse
        [|
            for name, files in interfaces do
                sysText $"/sys/class/net/{name}" "\n"

                for file, content in files do
                    sysText $"/sys/class/net/{name}/{file}" (content + "\n")
        |]

let private device = "device", "../../../0000:01:00.0"

/// One end of a pair whose other end is elsewhere.
let private pair = [ "ifindex", "2"; "iflink", "17" ]

let private kindOf (table: NetClass.Table) name =
    let known = NetClass.ofName table name
    known.Kind, known.Master

/// The interfaces that the totals count.
let private counted (table: NetClass.Table) (names: string list) : string list =
    let nothing: NetDev.Traffic =
        {
            Bytes = 0UL<B>
            Packets = 0UL
            Errors = 0UL
            Dropped = 0UL
        }

    [|
        for name in names do
            ({
                Name = name
                Received = nothing
                Sent = nothing
                Detail = ValueNone
            }
            : NetDev.InterfaceCounters)
    |]
    |> Devices.counted table [||]
    |> Array.map (fun i -> i.Name)
    |> List.ofArray

let private names (interfaces: (string * 'a) list) = List.map fst interfaces

/// What counts of the interfaces, all of them known to /sys.
let private countedOf interfaces =
    counted (table interfaces) (names interfaces)

[<Tests>]
let tests =
    testList
        "Sys.NetClass"
        [
            testCase "a bond of two ports with a VLAN, a bridge and containers on it: the two ports"
            <| fun () ->
                let interfaces =
                    [
                        "lo", [ "type", "772" ]
                        "eth0", [ device; "master", "../bond0" ]
                        "eth1", [ device; "master", "../bond0" ]
                        "bond0", [ "bonding", ""; "lower_eth0", ""; "lower_eth1", "" ]
                        "bond0.7", [ "uevent", "DEVTYPE=vlan"; "lower_bond0", ""; "master", "../br0" ]
                        "br0", [ "bridge", ""; "lower_bond0.7", ""; "lower_veth1", "" ]
                        "veth1", [ yield! pair; "master", "../br0" ]
                        "docker0", [ "bridge", ""; "uevent", "DEVTYPE=bridge" ]
                    ]

                Expect.equal (countedOf interfaces) [ "eth0"; "eth1" ] "counted"

                Expect.equal
                    (names interfaces |> List.map (kindOf (table interfaces)))
                    [
                        "loopback", ""
                        "physical", "bond0"
                        "physical", "bond0"
                        "bond", ""
                        "vlan", "br0"
                        "bridge", ""
                        "veth", "br0"
                        "bridge", ""
                    ]
                    "kinds and masters"

            testCase "the ports of a bond by its own list, where they have no link to it"
            <| fun () ->
                let interfaces =
                    [
                        "eth0", [ device ]
                        "eth1", [ device ]
                        "bond0", [ "bonding/slaves", "eth0 eth1" ]
                    ]

                Expect.equal (countedOf interfaces) [ "eth0"; "eth1" ] "counted"
                Expect.equal (kindOf (table interfaces) "eth1") ("physical", "bond0") "its master"

            testCase "the ports of a bridge by its directory of them"
            <| fun () ->
                let interfaces = [ "eth0", [ device ]; "lan", [ "bridge/bridge_id", "1"; "brif/eth0", "" ] ]
                Expect.equal (countedOf interfaces, kindOf (table interfaces) "eth0") ([ "eth0" ], ("physical", "lan")) "once"

            testCase "a VLAN, a macvlan and a tunnel over a port count with the port, whatever they are called"
            <| fun () ->
                let interfaces =
                    [
                        "lan", [ device ]
                        "storage", [ "uevent", "DEVTYPE=vlan"; "lower_lan", "" ]
                        "guest", [ "uevent", "DEVTYPE=macvlan"; "lower_lan", "" ]
                        "vpn", [ "tun_flags", "0x1001"; "type", "65534" ]
                        "office", [ "uevent", "DEVTYPE=wireguard" ]
                        "overlay", [ "uevent", "DEVTYPE=vxlan" ]
                        "tunl0", [ "type", "768" ]
                        "ifb0", []
                    ]

                Expect.equal (countedOf interfaces) [ "lan" ] "counted"

                Expect.equal
                    (names interfaces |> List.map (kindOf (table interfaces) >> fst))
                    [ "physical"; "vlan"; "macvlan"; "tun"; "wireguard"; "vxlan"; "tunnel"; "ifb" ]
                    "kinds"

            testCase "a tap of a virtual machine on a bridge"
            <| fun () ->
                let interfaces =
                    [
                        "enp1s0", [ device; "master", "../virbr0" ]
                        "virbr0", [ "bridge", "" ]
                        "vnet0", [ "tun_flags", "1002"; "master", "../virbr0" ]
                    ]

                Expect.equal (countedOf interfaces, kindOf (table interfaces) "vnet0") ([ "enp1s0" ], ("tap", "virbr0")) "the port"

            testCase "Azure: the synthetic adapter counts for its virtual function"
            <| fun () ->
                let synthetic =
                    [
                        "device", "../../../vmbus/1"
                        "device/driver", "../../hv_netvsc"
                        "address", "00:0d:3a:00:00:01"
                    ]

                let byLink =
                    [
                        "eth0", synthetic
                        "enP1s1", [ device; "device/driver", "../mlx5_core"; "master", "../eth0" ]
                    ]

                Expect.equal (countedOf byLink, kindOf (table byLink) "enP1s1") ([ "eth0" ], ("vf", "eth0")) "by its master"

                let byAddress =
                    [
                        "eth0", synthetic
                        "enP1s1", [ device; "address", "00:0d:3a:00:00:01" ]
                        "eth1", [ device; "address", "00:0d:3a:00:00:02" ]
                    ]

                Expect.equal (countedOf byAddress, kindOf (table byAddress) "enP1s1") ([ "eth0"; "eth1" ], ("vf", "eth0")) "by its address"

                let byLower = [ "eth0", [ device; "lower_enP1s1", "" ]; "enP1s1", [ device ] ]
                Expect.equal (countedOf byLower) [ "eth0" ] "by what is below"

                let byUevent =
                    [
                        "eth0", [ device; "device/uevent", "DRIVER=hv_netvsc"; "lower_enP1s1", "" ]
                        "enP1s1", [ device; "master", "../eth0" ]
                    ]

                Expect.equal (countedOf byUevent) [ "eth0" ] "by its driver's name"

            testCase "a failover of virtio counts for its standby and its virtual function"
            <| fun () ->
                let interfaces =
                    [
                        "ens3", [ device; "lower_ens3nsby", ""; "lower_ens4", "" ]
                        "ens3nsby", [ device; "device/driver", "../virtio_net"; "master", "../ens3" ]
                        "ens4", [ device; "master", "../ens3" ]
                    ]

                Expect.equal (countedOf interfaces) [ "ens3" ] "once"

            testCase "virtual functions of an adapter beside it carry bytes of their own"
            <| fun () ->
                Expect.equal (countedOf [ "eth0", [ device ]; "eth0v0", [ device; "device/physfn", "" ] ]) [ "eth0"; "eth0v0" ] "both"

            testCase "functions behind an adapter's switch are counted at its port"
            <| fun () ->
                let mlx5 name =
                    [
                        "device", $"../../../{name}"
                        "device/driver", "../../../bus/pci/drivers/mlx5_core"
                    ]

                let below place = "", $"../../devices/pci0000:3a/{place}"

                let port = "p0", ("phys_port_name", "p0") :: mlx5 "0000:3b:00.0"

                let representor name =
                    $"rep{name}", ("phys_port_name", name) :: mlx5 "0000:3b:00.0"

                let virtual' = "vf0", ("device/physfn", "../0000:3b:00.0") :: mlx5 "0000:3b:00.2"

                let sub =
                    "sf0",
                    [
                        below "0000:3b:00.0/mlx5_core.sf.4/net/sf0"
                        "device", "../../../mlx5_core.sf.4"
                        "device/driver", "../../../bus/auxiliary/drivers/mlx5_core.sf"
                    ]

                let other = "other", below "0000:5e:00.0/net/other" :: mlx5 "0000:5e:00.0"

                Expect.equal (countedOf [ port; representor "pf0vf0"; virtual'; other ]) [ "p0"; "other" ] "a virtual one"
                Expect.equal (countedOf [ port; representor "pf0sf4"; sub ]) [ "p0" ] "a sub-function"
                Expect.equal (countedOf [ port; virtual' ]) [ "p0"; "vf0" ] "without its representors the switch is off"
                Expect.equal (countedOf [ representor "pf0vf0"; virtual' ]) [ "vf0" ] "the port is in another namespace"

                let ice (name, files) =
                    name, files |> List.filter (fun (file, _) -> file <> "device/driver")

                Expect.equal
                    (countedOf [ ice port; ice (representor "pf0vf0"); ice virtual' ])
                    [ "p0"; "vf0" ]
                    "the ports of other drivers count what passes their own queues"

            testCase "ports of a switch count at the processor's own port"
            <| fun () ->
                let interfaces =
                    [
                        "eth0", [ device; "ifindex", "2" ]
                        "lan1", [ device; "uevent", "DEVTYPE=dsa"; "lower_eth0", "" ]
                        "lan2", [ device; "uevent", "DEVTYPE=dsa"; "ifindex", "4"; "iflink", "2" ]
                    ]

                Expect.equal (countedOf interfaces) [ "eth0" ] "once"
                Expect.equal (countedOf (List.tail interfaces |> List.tail)) [ "lan2" ] "where that one is not here, its ports do"

            testCase "what a switch in the adapter shows of others, and what a radio overhears, never counts"
            <| fun () ->
                let interfaces =
                    [
                        "eth0", [ device; "phys_port_name", "p0" ]
                        "eth0_0", [ device; "phys_port_name", "pf0vf0" ]
                        "eth0_1", [ device; "phys_port_name", "c1pf0sf3" ]
                        "wlan0", [ device; "uevent", "DEVTYPE=wlan" ]
                        "mon0", [ device; "type", "803" ]
                        "vif1.0", [ device; "device/subsystem", "../../xen-backend" ]
                    ]

                Expect.equal (countedOf interfaces) [ "eth0"; "wlan0" ] "what comes from outside"

            testCase "InfiniBand, mobile and USB adapters are ports"
            <| fun () ->
                let interfaces =
                    [
                        "ib0", [ device; "type", "32" ]
                        "wwan0", [ device; "uevent", "DEVTYPE=wwan" ]
                        "enx00e04c000001", [ device ]
                    ]

                Expect.equal (countedOf interfaces) (names interfaces) "all"

            testCase "a partition of an InfiniBand port carries bytes of its own, with a device or without"
            <| fun () ->
                let interfaces =
                    [
                        "ibp9", [ device; "type", "32"; "ifindex", "4"; "iflink", "4" ]
                        "ibp9.8003", [ "type", "32"; "ifindex", "5"; "iflink", "4" ]
                        "ibp9.8004", [ device; "type", "32"; "ifindex", "6"; "iflink", "4" ]
                    ]

                Expect.equal (countedOf interfaces) (names interfaces) "all"
                Expect.equal (kindOf (table interfaces) "ibp9.8003") ("infiniband", "") "not one end of a pair"

                let bonded =
                    [
                        "ibp9.8003", [ "type", "32"; "ifindex", "5"; "iflink", "4"; "master", "../fabric" ]
                        "fabric", [ "type", "32"; "bonding", ""; "lower_ibp9.8003", "" ]
                    ]

                Expect.equal (countedOf bonded) [ "ibp9.8003" ] "in a bond the partition, once"

            testCase "functions of an adapter in switch mode are not this machine's, physical ones neither"
            <| fun () ->
                let port name portName =
                    name, [ device; "phys_port_name", portName ]

                let interfaces =
                    [
                        port "up0" "p0"
                        port "up1" "p1"
                        port "split" "p2s1"
                        port "host" "pf0"
                        port "other" "c1pf12"
                        port "vf" "c2pf0vf7"
                        port "sf" "pf1sf88"
                    ]

                Expect.equal (countedOf interfaces) [ "up0"; "up1"; "split" ] "ports to the outside"
                Expect.equal (kindOf (table interfaces) "other") ("representor", "") "a physical function behind another controller"

            testCase "xfrm over a container's way out is a tunnel and does not count again"
            <| fun () ->
                let xfrm link =
                    "secure4", [ "type", "65534"; "ifindex", "3"; "iflink", link ]

                Expect.equal (countedOf [ "eth0", pair; xfrm "2" ]) [ "eth0" ] "over it"
                Expect.equal (countedOf [ "eth0", pair; xfrm "3" ]) [ "eth0" ] "over nothing in particular"
                Expect.equal (kindOf (table [ "eno3", [ device ]; xfrm "2" ]) "secure4") ("tunnel", "") "on a host too"
                Expect.equal (countedOf [ "lo", []; xfrm "0" ]) [ "secure4" ] "where nothing else is"

            testCase "in a container what leads out counts: one end of a pair, an interface of the host's"
            <| fun () ->
                Expect.equal (countedOf [ "lo", [ "type", "772" ]; "eth0", pair ]) [ "eth0" ] "a pair"
                Expect.equal (countedOf [ "lo", []; "eth0", [ "uevent", "DEVTYPE=macvlan"; yield! pair ] ]) [ "eth0" ] "a macvlan"
                Expect.equal (countedOf [ "lo", []; "bond0.7", [ "uevent", "DEVTYPE=vlan"; yield! pair ] ]) [ "bond0.7" ] "a VLAN"
                Expect.equal (countedOf [ "lo", []; "tun0", [ "tun_flags", "0x1001" ] ]) [ "tun0" ] "nothing but a tunnel"
                Expect.equal (countedOf [ "lo", []; "veth7", pair ]) [ "veth7" ] "whatever its name"

            testCase "containers in a container count where they lead out"
            <| fun () ->
                let interfaces =
                    [
                        "eth0", pair
                        "docker0", [ "bridge", ""; "lower_veth1", "" ]
                        "veth1", [ yield! pair; "master", "../docker0" ]
                        "cali12", pair
                        "wg0", [ "uevent", "DEVTYPE=wireguard" ]
                    ]

                Expect.equal (countedOf interfaces) [ "eth0" ] "once"

            testCase "a pair with both ends here leads nowhere"
            <| fun () ->
                let interfaces =
                    [
                        "eth0", [ "ifindex", "9"; "iflink", "17" ]
                        "left", [ "ifindex", "2"; "iflink", "3" ]
                        "right", [ "ifindex", "3"; "iflink", "2" ]
                    ]

                Expect.equal (countedOf interfaces) [ "eth0" ] "what leads out"

            testCase "a stack without a device counts at its end"
            <| fun () ->
                let bond =
                    [
                        "a", [ yield! pair; "master", "../bond0" ]
                        "b", [ yield! pair; "master", "../bond0" ]
                        "bond0", [ "bonding", ""; "lower_a", ""; "lower_b", "" ]
                        "bond0.7", [ "uevent", "DEVTYPE=vlan"; "lower_bond0", "" ]
                    ]

                Expect.equal (countedOf bond) [ "bond0" ] "a bond has all that its VLANs have"
                let bridge = [ "br0", [ "bridge", "" ]; "a", [ yield! pair; "master", "../br0" ] ]
                Expect.equal (countedOf bridge) [ "br0" ] "a bridge where all else is its ports"

            testCase "only the loopback counts nothing"
            <| fun () -> Expect.equal (countedOf [ "lo", [ "type", "772" ] ]) [] "none"

            testCase "without /sys the names decide"
            <| fun () ->
                let all =
                    [
                        "lo"
                        "eth0"
                        "enp1s0f0np0"
                        "ib0"
                        "wlan0"
                        "green"
                        "bond0"
                        "eth0.7"
                        "br0"
                        "br-1a2b"
                        "docker0"
                        "virbr0"
                        "veth1a2b"
                        "cali12"
                        "tun0"
                        "tap0"
                        "vnet0"
                        "wg0"
                        "sit0"
                        "vxlan.calico"
                        "dummy0"
                        "ifb1"
                        "kube-ipvs0"
                    ]

                Expect.equal (counted NetClass.unknown all) [ "eth0"; "enp1s0f0np0"; "ib0"; "wlan0"; "green" ] "the ports"
                Expect.equal (counted NetClass.unknown [ "lo"; "bond0"; "br0"; "veth1" ]) [ "bond0" ] "no port"
                Expect.equal (counted NetClass.unknown [ "lo"; "br0"; "veth1" ]) [ "br0" ] "only a bridge and what is on it"
                Expect.equal (counted NetClass.unknown [ "lo"; "ifb0"; "dummy0" ]) [] "nothing that leads out"

            testCase "an interface that has just come goes by its name until /sys is asked"
            <| fun () ->
                let known = table [ "eth0", [ device ] ]
                Expect.equal (counted known [ "eth0"; "veth9"; "eth1" ]) [ "eth0"; "eth1" ] "a port"

            testCase "an alias does not count beside its interface"
            <| fun () ->
                let known = table [ "eth0", [ device ] ]
                Expect.equal (counted known [ "eth0"; "eth0:0"; "eth0:1" ]) [ "eth0" ] "with /sys"
                Expect.equal (counted NetClass.unknown [ "lo"; "venet0"; "venet0:0" ]) [ "venet0" ] "without"
                Expect.equal (kindOf known "eth0:1") ("alias", "") "its kind"

            testCase "files that cannot be read cost what they would have said"
            <| fun () ->
                let failure = SourceError.Unreadable("x", "Input/output error")

                let known =
                    NetClass.parse
                        [|
                            sysText "/sys/class/net/eth0/device" "\n"
                            for file in
                                [
                                    "type"
                                    "uevent"
                                    "master"
                                    "address"
                                    "phys_port_name"
                                    "tun_flag"
                                    "ifindex"
                                ] do
                                sysFailure $"/sys/class/net/eth0/{file}" failure
                            sysText "/sys/bonding_masters" "bond0\n"
                        |]

                Expect.equal (known.Count, kindOf known "eth0") (1, ("physical", "")) "a port"
        ]
