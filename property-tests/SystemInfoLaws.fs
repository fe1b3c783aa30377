/// Laws of the slow facts.
module Agent.PropertyTests.SystemInfoLaws

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.PropertyTests.Proc
open Agent.Sender
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
                        // Below zero as a signed number nothing is free.
                        && same
                            (wide partition.Used)
                            (bytes blocks
                             - UInt128.Min(bytes (if free >= (1UL <<< 63) then 0UL else free), bytes blocks))
                        && partition.Free <= partition.Total
                        && partition.Percent >= 0.0<percent>
                        && partition.Percent <= 100.0<percent>)
            law
                "metrics tell of a file system what the sample does"
                (Gen.zip (Gen.elements [ 512UL; 4096UL; 1UL <<< 63 ]) (Gen.three counter))
                (fun (fragment, (blocks, free, available)) ->
                    let counts = FilesystemCounts.OfBlocks(fragment, blocks, free, available, blocks, free)

                    match SystemInfo.partitionOfBlocks mount fragment blocks free available with
                    | ValueNone -> blocks = 0UL
                    | ValueSome partition ->
                        same partition.Total counts.Size
                        && same partition.Used (counts.Size - min counts.Free counts.Size)
                        && same partition.Free (min counts.Available (min counts.Free counts.Size))
                        && counts.FilesFree < (1UL <<< 63))
            law
                "the boot time is btime, or none outside 2000 to 9999; of a container it is its uptime ago"
                (Gen.zip3
                    (StatLaws.stat 0)
                    (Gen.oneof [ Gen.choose64 (-10L, 4_000_000_000L); Gen.map int64 anyUInt64 ])
                    (Gen.choose (0, 100_000_000)))
                (fun (stat, seconds, uptime) ->
                    let now = DateTimeOffset(2026, 11, 28, 0, 0, 0, TimeSpan.Zero)

                    let stat =
                        ValueSome
                            { stat with
                                BootTime = ValueSome(LanguagePrimitives.Int64WithMeasure seconds)
                            }

                    let byUptime =
                        SystemInfo.bootTime now (ValueSome(LanguagePrimitives.FloatWithMeasure(float uptime))) true stat

                    byUptime = ValueSome(now.AddSeconds(-(float uptime)))
                    && (match SystemInfo.bootTime now ValueNone false stat with
                        | ValueSome at -> (at - DateTimeOffset.UnixEpoch).TotalSeconds = float seconds
                        | ValueNone -> seconds < 946684800L || seconds > 253402300799L))
        ]
