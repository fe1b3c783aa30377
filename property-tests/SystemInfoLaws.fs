/// Laws of the slow facts.
module Agent.PropertyTests.SystemInfoLaws

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.PropertyTests.Proc
open Expecto
open FsCheck
open FsCheck.FSharp

let private mount: Mounts.Mount =
    {
        Device = "/dev/sda1"
        MountPoint = "/"
        Path = "/"B
        FsType = "ext4"
        IsReadOnly = false
        Place = ValueNone
    }

let tests =
    testList
        "SystemInfo"
        [
            law
                "a partition's percentage has one decimal within 0-100, and used is at most the total"
                (Gen.three counter)
                (fun (total, free, available) ->
                    let bytes n : uint64<B> = LanguagePrimitives.UInt64WithMeasure n
                    let partition = SystemInfo.partitionOf mount (bytes total) (bytes free) (bytes available)

                    partition.Used <= partition.Total
                    && partition.Percent >= 0.0<percent>
                    && partition.Percent <= 100.0<percent>
                    && Math.Round(float partition.Percent, 1) = float partition.Percent)
            law
                "whatever statvfs says, a partition has a size, and its shares are what they are of the blocks"
                (Gen.zip (Gen.elements [ 512UL; 4096UL; 65536UL; 1UL <<< 20; 1UL <<< 63 ]) (Gen.three counter))
                (fun (fragment, (blocks, free, available)) ->
                    match SystemInfo.partitionOfBlocks mount fragment blocks free available with
                    | ValueNone -> blocks = 0UL
                    | ValueSome partition ->
                        let largest = UInt128.op_Implicit UInt64.MaxValue

                        let bytes (count: uint64) =
                            UInt128.Min(UInt128.op_Implicit count * UInt128.op_Implicit fragment, largest)

                        let wide (value: uint64<B>) : UInt128 = UInt128.op_Implicit (uint64 value)

                        same (wide partition.Total) (bytes blocks)
                        && same (wide partition.Used) (bytes blocks - UInt128.Min(bytes free, bytes blocks))
                        && partition.Free <= partition.Total
                        && partition.Percent >= 0.0<percent>
                        && partition.Percent <= 100.0<percent>)
            law
                "the boot time is btime, or none outside the calendar"
                (Gen.zip (StatLaws.stat 0) (Gen.oneof [ Gen.choose64 (-10L, 4_000_000_000L); Gen.map int64 anyUInt64 ]))
                (fun (stat, seconds) ->
                    match
                        SystemInfo.bootTime
                            { stat with
                                BootTime = ValueSome(LanguagePrimitives.Int64WithMeasure seconds)
                            }
                    with
                    | ValueSome at -> (at - DateTimeOffset.UnixEpoch).TotalSeconds = float seconds
                    | ValueNone -> seconds < 0L || seconds > 253402300799L)
        ]
