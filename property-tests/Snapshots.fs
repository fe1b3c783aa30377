/// Generated snapshots and samples: any combination of sources that were read, are absent or failed.
module Agent.PropertyTests.Snapshots

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Gpu
open Agent.PropertyTests.Proc
open Agent.PropertyTests.Sys
open FsCheck
open FsCheck.FSharp

let private source (values: Gen<'a>) : Gen<Result<'a, SourceError>> =
    Gen.frequency [ 5, Gen.map Ok values; 1, Gen.map Error SensorLaws.sourceError ]

/// UTC or another offset, to the tick.
let private instant: Gen<DateTimeOffset> =
    Gen.zip (Gen.choose64 (0L, 4_000_000_000_0000000L)) (Gen.elements [ 0.0; 2.0; -9.5 ])
    |> Gen.map (fun (ticks, hours) -> DateTimeOffset.UnixEpoch.AddTicks(ticks).ToOffset(TimeSpan.FromHours hours))

let private fan: Gen<Hwmon.Fan> =
    let label =
        Gen.frequency
            [
                2, Gen.elements [ "fan"; "FAN1"; "fan 2"; "SYS, rear" ]
                1, phrase
                1, phrase |> Gen.map (fun text -> String.replicate 9 "long " + text)
            ]

    Gen.zip label (Gen.choose (0, Int32.MaxValue))
    |> Gen.map (fun (label, speed) ->
        {
            Label = label
            Speed = LanguagePrimitives.Int32WithMeasure speed
        })

let private gpus: Gen<Gpu[]> =
    Gen.oneof
        [
            NvmlLaws.gpus
            NvidiaSmiLaws.gpus
            Gen.map2 Array.append NvmlLaws.gpus NvidiaSmiLaws.gpus
        ]
    |> Gen.bind (Gen.collectToArray GpuLaws.withMore)

/// Any of the names below, known as anything or not at all.
let private knownDevices: Gen<Devices.Known> =
    gen {
        let! blocks =
            Gen.listOf (Gen.zip (Gen.elements [ "sda"; "sda1"; "nvme0n1"; "loop0" ]) (Gen.elements [ true; false ]))

        let! interfaces =
            Gen.listOf (
                Gen.zip3
                    (Gen.elements [ "lo"; "eth0"; "ib0"; "wlan0" ])
                    (Gen.elements [ ""; "eth0" ])
                    (Gen.elements
                        [
                            NetClass.Layer.Physical
                            NetClass.Layer.Top
                            NetClass.Layer.Bridge
                            NetClass.Layer.Tunnel
                            NetClass.Layer.Never
                        ])
            )

        let disks = Dictionary<string, bool>()
        let known = Dictionary<string, NetClass.Interface>()

        for name, isDisk in blocks do
            disks[name] <- isDisk

        for name, master, layer in interfaces do
            known[name] <-
                {
                    Kind = "any"
                    Master = master
                    Layer = layer
                }

        return
            {
                Blocks =
                    {
                        Disks = disks
                        Uncounted = HashSet [ "sdb" ]
                    }
                Interfaces = known
            }
    }

let private slow: Gen<SlowReadings> =
    gen {
        let! temperature = maybe (Gen.choose (-49_000, 149_000))
        let! frequency = maybe (Gen.choose (1, 9_000_000))
        let! cores = maybe (Gen.choose (1, 256))
        let! fans = upTo 4 fan
        let! gpus = gpus
        let! devices = knownDevices

        return
            {
                CpuTemperature =
                    temperature
                    |> ValueOption.map (fun n -> LanguagePrimitives.FloatWithMeasure(float n / 1000.0))
                CpuFrequency =
                    frequency
                    |> ValueOption.map (fun n -> LanguagePrimitives.FloatWithMeasure(float n / 1000.0))
                PhysicalCores = cores
                Fans = fans
                Gpus = gpus
                Devices = devices
                Jobs = ValueNone
            }
    }

/// Disks of any name, the same names coming up again from one snapshot to the next.
let private disks =
    upTo
        4
        (Gen.zip
            (Gen.elements
                [
                    "sda"
                    "sda1"
                    "sdb"
                    "nvme0n1"
                    "vdc"
                    "loop0"
                    String.replicate 7 "longdevice"
                ])
            DiskStatsLaws.disk)
    |> Gen.map (Array.map (fun (name, disk) -> { disk with Device = name }))

let private interfaces =
    upTo 4 (Gen.zip (Gen.elements [ "lo"; "eth0"; "eth0:1"; "ib0"; "wlan0" ]) NetDevLaws.networkInterface)
    |> Gen.map (
        Array.map (fun (name, i) -> { i with Name = name })
        >> Array.distinctBy (fun i -> i.Name)
    )

/// What was read at one instant.
let snapshotAt (at: DateTimeOffset) : Gen<Snapshot> =
    gen {
        let! window = maybe (Gen.zip (Gen.choose (0, 400)) (StatLaws.stat 2))
        let! stat = source (StatLaws.stat 3)
        let! memory = source MemInfoLaws.memory
        let! arc = source MemInfoLaws.arc
        let! load = source SmallFileLaws.load
        let! disks = source disks
        let! network = source interfaces
        let! tcp = source SmallFileLaws.tcp
        let! processes = source (Gen.choose (0, 100_000))
        let! cpuPressure = source SmallFileLaws.pressure
        let! ioPressure = source SmallFileLaws.pressure
        let! memoryPressure = source SmallFileLaws.pressure
        let! infiniband = SensorLaws.infiniband
        let! slow = slow

        return
            {
                At = at
                Window =
                    window
                    |> ValueOption.map (fun (milliseconds, stat) ->
                        {
                            Length = TimeSpan.FromMilliseconds(float milliseconds)
                            Stat = stat
                        })
                Stat = stat
                Memory = memory
                Arc = arc
                Load = load
                Disks = disks
                Network = network
                Tcp = tcp
                Processes = processes
                CpuPressure = cpuPressure
                IoPressure = ioPressure
                MemoryPressure = memoryPressure
                Infiniband = infiniband
                Slow = slow
                Faults = [||]
            }
    }

/// What was read at any instant.
let snapshot: Gen<Snapshot> = Gen.bind snapshotAt instant

/// A snapshot and, most times, the one before it, which may be later, as after a change of the clock. Half of them are
/// quiet: the later one repeats the earlier, so that many counters stand still.
let pair: Gen<Snapshot voption * Snapshot> =
    gen {
        let! earlier = snapshot

        let! elapsed =
            Gen.oneof
                [
                    Gen.choose64 (-10L, 100L)
                    Gen.choose64 (0L, 600_000_000L)
                    Gen.choose64 (-600_000_000L, 0L)
                ]

        let! later = snapshotAt (earlier.At.AddTicks elapsed)
        let! repeats = Gen.elements [ true; false ]
        let! isFirst = Gen.frequency [ 1, Gen.constant true; 5, Gen.constant false ]

        let later =
            if repeats then
                { later with
                    Stat = earlier.Stat
                    Disks = earlier.Disks
                }
            else
                later

        return (if isFirst then ValueNone else ValueSome earlier), later
    }

/// The user's choices: none, names that are there, and names that are not.
let sampleOptions: Gen<SampleOptions> =
    gen {
        let! disks =
            Gen.oneof
                [
                    Gen.constant []
                    Gen.subListOf [ "sdb"; "sda"; "sda1"; "gone"; String.replicate 7 "longdevice" ]
                ]

        let! interfaces = Gen.oneof [ Gen.constant []; Gen.subListOf [ "ib0"; "lo"; "eth0"; "gone" ] ]
        let! window = Gen.elements [ 0.0; 0.2 ]

        return
            {
                Disks = Array.ofList disks
                Interfaces = Array.ofList interfaces
                CpuWindow = TimeSpan.FromSeconds window
            }
    }

/// A sample and, most times, the one before it, both built as the agent builds them.
let samples: Gen<Sample voption * Sample> =
    gen {
        let! options = sampleOptions
        let! previous, current = pair

        return previous |> ValueOption.map (Sample.build options ValueNone), Sample.build options previous current
    }

/// A sample as the agent builds it.
let sample: Gen<Sample> = samples |> Gen.map snd
