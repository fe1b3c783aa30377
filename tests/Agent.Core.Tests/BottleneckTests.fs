module Agent.Core.Tests.BottleneckTests

open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.Core.Tests.DerivedTests
open Expecto

/// A machine with half its CPU and memory in use and nothing else.
let private noGpu: BottleneckInputs =
    {
        Cpu = 50.0<percent>
        Iowait = 0.0<percent>
        Memory = 50.0<percent>
        Swap = 0.0<percent>
        Disk = 0.0<percent>
        DiskThroughput = 0.0<MiB / s>
        Gpu = ValueNone
    }

/// The same with a GPU this busy.
let private withGpu (utilization: float<percent>) =
    { noGpu with
        Gpu = ValueSome utilization
    }

/// One case: what is put in, and label, confidence and reason that come out.
let private rule name inputs label confidence reason =
    testCase name
    <| fun () ->
        let verdict = Bottleneck.classify inputs
        Expect.equal (verdict.Label.Name, verdict.Confidence, verdict.Reason) (label, confidence, reason) "verdict"

let private balancedWithoutGpu name inputs =
    rule name inputs "balanced" 0.45 "No GPU telemetry available"

let private withoutGpu =
    testList
        "no GPU utilisation known"
        [
            rule "A1: memory of 92" { noGpu with Memory = 92.0<percent> } "memory-pressure" 0.82 "Memory 92% / swap 0%"
            balancedWithoutGpu "A1: memory below 92" { noGpu with Memory = 91.99<percent> }
            rule "A1: swap of 20" { noGpu with Swap = 20.0<percent> } "memory-pressure" 0.82 "Memory 50% / swap 20%"
            balancedWithoutGpu "A1: swap below 20" { noGpu with Swap = 19.99<percent> }
            rule
                "A1: swap of 5 with memory of 80"
                { noGpu with
                    Swap = 5.0<percent>
                    Memory = 80.0<percent>
                }
                "memory-pressure"
                0.82
                "Memory 80% / swap 5%"
            balancedWithoutGpu
                "A1: swap below 5 with memory of 80"
                { noGpu with
                    Swap = 4.99<percent>
                    Memory = 80.0<percent>
                }
            balancedWithoutGpu
                "A1: swap of 5 with memory below 80"
                { noGpu with
                    Swap = 5.0<percent>
                    Memory = 79.99<percent>
                }
            rule
                "A1 comes before A2 and A3"
                { noGpu with
                    Memory = 92.0<percent>
                    Disk = 100.0<percent>
                    Cpu = 100.0<percent>
                }
                "memory-pressure"
                0.82
                "Memory 92% / swap 0%"

            rule "A2: disk of 80" { noGpu with Disk = 80.0<percent> } "io-bound" 0.74 "Disk util 80% / iowait 0%"
            balancedWithoutGpu "A2: disk below 80" { noGpu with Disk = 79.99<percent> }
            rule "A2: iowait of 20" { noGpu with Iowait = 20.0<percent> } "io-bound" 0.74 "Disk util 0% / iowait 20%"
            balancedWithoutGpu "A2: iowait below 20" { noGpu with Iowait = 19.99<percent> }
            rule
                "A2 comes before A3"
                { noGpu with
                    Disk = 80.0<percent>
                    Cpu = 85.0<percent>
                }
                "io-bound"
                0.74
                "Disk util 80% / iowait 0%"
            rule
                "A2 comes before A4"
                { noGpu with
                    Iowait = 20.0<percent>
                    Cpu = 1.0<percent>
                }
                "io-bound"
                0.74
                "Disk util 0% / iowait 20%"

            rule "A3: CPU of 85" { noGpu with Cpu = 85.0<percent> } "cpu-bound" 0.78 "CPU 85% with no GPU telemetry"
            balancedWithoutGpu "A3: CPU below 85" { noGpu with Cpu = 84.99<percent> }

            rule "A4: CPU below 15" { noGpu with Cpu = 14.99<percent> } "idle" 0.90 "Low CPU and no GPU telemetry"
            balancedWithoutGpu "A4: CPU of 15" { noGpu with Cpu = 15.0<percent> }

            balancedWithoutGpu
                "A5: throughput counts nothing"
                { noGpu with
                    DiskThroughput = 9000.0<MiB / s>
                }
        ]

let private withKnownGpu =
    let balanced70 name inputs =
        rule name inputs "balanced" 0.65 "GPU 70% with CPU 50% and disk util 0%"

    let underutilized name inputs =
        rule name inputs "underutilized" 0.55 "GPU 40% below target; check dataloader or batch size"

    testList
        "GPU utilisation known"
        [
            rule
                "B1: memory of 95"
                { withGpu 70.0<percent> with
                    Memory = 95.0<percent>
                }
                "memory-pressure"
                0.90
                "Memory 95% / swap 0%"
            balanced70
                "B1: memory below 95"
                { withGpu 70.0<percent> with
                    Memory = 94.99<percent>
                }
            rule
                "B1: swap of 20"
                { withGpu 70.0<percent> with
                    Swap = 20.0<percent>
                }
                "memory-pressure"
                0.90
                "Memory 50% / swap 20%"
            balanced70
                "B1: swap below 20"
                { withGpu 70.0<percent> with
                    Swap = 19.99<percent>
                }
            rule
                "B1: swap of 5 with memory of 80"
                { withGpu 70.0<percent> with
                    Swap = 5.0<percent>
                    Memory = 80.0<percent>
                }
                "memory-pressure"
                0.90
                "Memory 80% / swap 5%"
            balanced70
                "B1: swap below 5 with memory of 80"
                { withGpu 70.0<percent> with
                    Swap = 4.99<percent>
                    Memory = 80.0<percent>
                }
            balanced70
                "B1: swap of 5 with memory below 80"
                { withGpu 70.0<percent> with
                    Swap = 5.0<percent>
                    Memory = 79.99<percent>
                }
            rule
                "B1 comes before B2 and B3"
                { withGpu 10.0<percent> with
                    Memory = 95.0<percent>
                    Disk = 100.0<percent>
                    Cpu = 100.0<percent>
                }
                "memory-pressure"
                0.90
                "Memory 95% / swap 0%"

            rule
                "B2: disk of 70 with a GPU below 55"
                { withGpu 54.99<percent> with
                    Disk = 70.0<percent>
                }
                "io-bound"
                0.88
                "GPU 55% low while disk 70% / iowait 0%"
            underutilized
                "B2: disk below 70"
                { withGpu 40.0<percent> with
                    Disk = 69.99<percent>
                }
            rule
                "B2: iowait of 15 with a GPU below 55"
                { withGpu 40.0<percent> with
                    Iowait = 15.0<percent>
                }
                "io-bound"
                0.88
                "GPU 40% low while disk 0% / iowait 15%"
            underutilized
                "B2: iowait below 15"
                { withGpu 40.0<percent> with
                    Iowait = 14.99<percent>
                }
            rule
                "B2: disk of 70 with a GPU of 55"
                { withGpu 55.0<percent> with
                    Disk = 70.0<percent>
                }
                "mixed"
                0.50
                "CPU 50%, GPU 55%, disk 70%"
            rule
                "B2: iowait of 15 with a GPU of 55"
                { withGpu 55.0<percent> with
                    Iowait = 15.0<percent>
                }
                "balanced"
                0.65
                "GPU 55% with CPU 50% and disk util 0%"
            rule
                "B2 comes before B3 and B4"
                { withGpu 10.0<percent> with
                    Disk = 70.0<percent>
                    Cpu = 100.0<percent>
                    Memory = 90.0<percent>
                }
                "io-bound"
                0.88
                "GPU 10% low while disk 70% / iowait 0%"

            rule
                "B3: CPU of 85 with a GPU below 55"
                { withGpu 54.0<percent> with
                    Cpu = 85.0<percent>
                }
                "cpu-bound"
                0.87
                "GPU 54% low while CPU 85% is high"
            underutilized
                "B3: CPU below 85"
                { withGpu 40.0<percent> with
                    Cpu = 84.99<percent>
                }
            rule
                "B3: CPU of 85 with a GPU of 55"
                { withGpu 55.0<percent> with
                    Cpu = 85.0<percent>
                }
                "mixed"
                0.50
                "CPU 85%, GPU 55%, disk 0%"
            rule
                "B3 comes before B4"
                { withGpu 10.0<percent> with
                    Cpu = 85.0<percent>
                    Memory = 90.0<percent>
                }
                "cpu-bound"
                0.87
                "GPU 10% low while CPU 85% is high"

            rule
                "B4: memory of 88 with a GPU below 55"
                { withGpu 54.0<percent> with
                    Memory = 88.0<percent>
                }
                "memory-pressure"
                0.75
                "GPU 54% low while memory 88% is high"
            underutilized
                "B4: memory below 88"
                { withGpu 40.0<percent> with
                    Memory = 87.99<percent>
                }
            rule
                "B4: swap of 8 with memory of 75"
                { withGpu 40.0<percent> with
                    Swap = 8.0<percent>
                    Memory = 75.0<percent>
                }
                "memory-pressure"
                0.75
                "GPU 40% low while memory 75% is high"
            underutilized
                "B4: swap below 8 with memory of 75"
                { withGpu 40.0<percent> with
                    Swap = 7.99<percent>
                    Memory = 75.0<percent>
                }
            underutilized
                "B4: swap of 8 with memory below 75"
                { withGpu 40.0<percent> with
                    Swap = 8.0<percent>
                    Memory = 74.99<percent>
                }
            rule
                "B4: memory of 88 with a GPU of 55"
                { withGpu 55.0<percent> with
                    Memory = 88.0<percent>
                }
                "balanced"
                0.65
                "GPU 55% with CPU 50% and disk util 0%"
            rule
                "B4 comes before B5"
                { withGpu 5.0<percent> with
                    Cpu = 5.0<percent>
                    Memory = 88.0<percent>
                }
                "memory-pressure"
                0.75
                "GPU 5% low while memory 88% is high"

            rule
                "B5: GPU below 20, CPU below 30, disk below 25"
                { withGpu 19.99<percent> with
                    Cpu = 29.99<percent>
                    Disk = 24.99<percent>
                }
                "idle"
                0.85
                "GPU, CPU, and disk activity are all low"
            rule
                "B5: GPU of 20"
                { withGpu 20.0<percent> with
                    Cpu = 5.0<percent>
                }
                "underutilized"
                0.55
                "GPU 20% below target; check dataloader or batch size"
            rule
                "B5: CPU of 30"
                { withGpu 5.0<percent> with
                    Cpu = 30.0<percent>
                }
                "underutilized"
                0.55
                "GPU 5% below target; check dataloader or batch size"
            rule
                "B5: disk of 25"
                { withGpu 5.0<percent> with
                    Cpu = 5.0<percent>
                    Disk = 25.0<percent>
                }
                "underutilized"
                0.55
                "GPU 5% below target; check dataloader or batch size"

            rule "B6: GPU below 55" (withGpu 54.4<percent>) "underutilized" 0.55 "GPU 54% below target; check dataloader or batch size"
            rule "B6: GPU of 55" (withGpu 55.0<percent>) "balanced" 0.65 "GPU 55% with CPU 50% and disk util 0%"

            rule
                "B7: GPU of 90 with CPU below 80, disk below 70 and iowait below 10"
                { withGpu 90.0<percent> with
                    Cpu = 79.99<percent>
                    Disk = 69.99<percent>
                    Iowait = 9.99<percent>
                }
                "gpu-bound"
                0.90
                "GPU 90% saturated while CPU 80% and disk 70% are lower"
            rule "B7: GPU below 90" (withGpu 89.99<percent>) "balanced" 0.65 "GPU 90% with CPU 50% and disk util 0%"
            rule
                "B7: CPU of 80"
                { withGpu 90.0<percent> with
                    Cpu = 80.0<percent>
                }
                "mixed"
                0.50
                "CPU 80%, GPU 90%, disk 0%"
            rule
                "B7: disk of 70"
                { withGpu 90.0<percent> with
                    Disk = 70.0<percent>
                }
                "mixed"
                0.50
                "CPU 50%, GPU 90%, disk 70%"
            rule
                "B7: iowait of 10"
                { withGpu 90.0<percent> with
                    Iowait = 10.0<percent>
                }
                "mixed"
                0.50
                "CPU 50%, GPU 90%, disk 0%"

            rule
                "B8: CPU of 90 with a GPU of 70"
                { withGpu 70.0<percent> with
                    Cpu = 90.0<percent>
                }
                "mixed-cpu-gpu"
                0.72
                "CPU 90% and GPU 70% are both high"
            rule
                "B8: CPU below 90"
                { withGpu 70.0<percent> with
                    Cpu = 89.4<percent>
                }
                "mixed"
                0.50
                "CPU 89%, GPU 70%, disk 0%"
            rule
                "B8: GPU below 70"
                { withGpu 69.4<percent> with
                    Cpu = 90.0<percent>
                }
                "mixed"
                0.50
                "CPU 90%, GPU 69%, disk 0%"
            rule
                "B8 comes before B9"
                { withGpu 95.0<percent> with
                    Cpu = 90.0<percent>
                    Disk = 90.0<percent>
                }
                "mixed-cpu-gpu"
                0.72
                "CPU 90% and GPU 95% are both high"

            rule
                "B9: disk of 85 with a GPU of 60"
                { withGpu 60.0<percent> with
                    Disk = 85.0<percent>
                }
                "mixed-io-gpu"
                0.70
                "Disk util 85% and GPU 60% are both high"
            rule
                "B9: disk below 85"
                { withGpu 60.0<percent> with
                    Disk = 84.4<percent>
                }
                "mixed"
                0.50
                "CPU 50%, GPU 60%, disk 84%"
            rule
                "B9: GPU below 60"
                { withGpu 59.4<percent> with
                    Disk = 85.0<percent>
                }
                "mixed"
                0.50
                "CPU 50%, GPU 59%, disk 85%"

            rule
                "B10: everything below its limit"
                { withGpu 89.99<percent> with
                    Cpu = 79.99<percent>
                    Disk = 69.99<percent>
                    Iowait = 99.0<percent>
                    DiskThroughput = 2047.99<MiB / s>
                }
                "balanced"
                0.65
                "GPU 90% with CPU 80% and disk util 70%"
            rule
                "B10: throughput of 2048 MiB/s"
                { withGpu 70.0<percent> with
                    DiskThroughput = 2048.0<MiB / s>
                }
                "mixed"
                0.50
                "CPU 50%, GPU 70%, disk 0%"
            rule
                "B10: CPU of 80"
                { withGpu 70.0<percent> with
                    Cpu = 80.0<percent>
                }
                "mixed"
                0.50
                "CPU 80%, GPU 70%, disk 0%"
            rule
                "B10: disk of 70"
                { withGpu 70.0<percent> with
                    Disk = 70.0<percent>
                }
                "mixed"
                0.50
                "CPU 50%, GPU 70%, disk 70%"

            rule
                "B11: what no rule names"
                { withGpu 95.0<percent> with
                    Cpu = 85.0<percent>
                    Disk = 75.0<percent>
                }
                "mixed"
                0.50
                "CPU 85%, GPU 95%, disk 75%"
        ]

let private figures =
    testList
        "figures"
        [
            rule
                "a half is rounded to the even number below"
                { noGpu with Cpu = 86.5<percent> }
                "cpu-bound"
                0.78
                "CPU 86% with no GPU telemetry"
            rule
                "a half is rounded to the even number above"
                { noGpu with Cpu = 87.5<percent> }
                "cpu-bound"
                0.78
                "CPU 88% with no GPU telemetry"
            rule
                "every figure of a reason is rounded"
                { noGpu with
                    Memory = 92.5<percent>
                    Swap = 0.5<percent>
                }
                "memory-pressure"
                0.82
                "Memory 92% / swap 0%"
            rule
                "comparisons are on unrounded figures: 84.6 is shown as 85 and is below 85"
                { withGpu 40.0<percent> with
                    Cpu = 84.6<percent>
                }
                "underutilized"
                0.55
                "GPU 40% below target; check dataloader or batch size"
            rule
                "figures above 100 count as 100"
                { noGpu with
                    Memory = 150.0<percent>
                    Swap = 300.0<percent>
                }
                "memory-pressure"
                0.82
                "Memory 100% / swap 100%"
            rule
                "a GPU above 100 counts as 100"
                (withGpu 250.0<percent>)
                "gpu-bound"
                0.90
                "GPU 100% saturated while CPU 50% and disk 0% are lower"
            rule
                "figures below 0 count as 0"
                { withGpu 95.0<percent> with
                    Cpu = -5.0<percent>
                    Disk = -1.0<percent>
                }
                "gpu-bound"
                0.90
                "GPU 95% saturated while CPU 0% and disk 0% are lower"
        ]

let private ofSamples =
    let derived = Derived.from ValueNone (sampleAt 0.0)

    let memory percent : MemoryUse =
        {
            Used = 0UL<B>
            Available = 0UL<B>
            Percent = percent
        }

    testList
        "of a sample"
        [
            testCase "every figure comes from its own field"
            <| fun () ->
                let sample =
                    { sampleAt 0.0 with
                        CpuUsage = ValueSome 85.0<percent>
                        CpuUser = ValueSome 1.0<percent>
                        CpuIowait = ValueSome 14.0<percent>
                        Memory = ValueSome(memory 60.0<percent>)
                        Swap =
                            ValueSome
                                {
                                    Used = 0UL<B>
                                    Percent = 3.0<percent>
                                }
                    }

                let verdict = Bottleneck.ofSample sample derived
                Expect.equal verdict.Reason "CPU 85% with no GPU telemetry" "CPU"

                let full =
                    { sample with
                        Memory = ValueSome(memory 93.0<percent>)
                    }

                Expect.equal (Bottleneck.ofSample full derived).Reason "Memory 93% / swap 3%" "memory and swap"

                let waiting =
                    { sample with
                        CpuIowait = ValueSome 21.0<percent>
                    }

                Expect.equal
                    (Bottleneck.ofSample
                        waiting
                        { derived with
                            DiskUtilization = 7.0<percent>
                        })
                        .Reason
                    "Disk util 7% / iowait 21%"
                    "disk and iowait"

            testCase "the busiest GPU counts, and one that does nothing is known"
            <| fun () ->
                let verdict =
                    Bottleneck.ofSample
                        { sampleAt 0.0 with
                            CpuUsage = ValueSome 50.0<percent>
                        }
                        { derived with
                            TopGpuUtilization = ValueSome 0.0<percent>
                            MeanGpuUtilization = ValueSome 99.0<percent>
                        }

                Expect.equal verdict.Reason "GPU 0% below target; check dataloader or batch size" "GPU"

            testCase "read and written bytes together count in mebibytes"
            <| fun () ->
                let verdict read written =
                    (Bottleneck.ofSample
                        { sampleAt 0.0 with
                            CpuUsage = ValueSome 50.0<percent>
                        }
                        { derived with
                            TopGpuUtilization = ValueSome 70.0<percent>
                            DiskRead = read
                            DiskWritten = written
                        })
                        .Label

                // 2048 MiB are 2147483648 bytes
                Expect.equal (verdict 1073741824.0<B / s> 1073741824.0<B / s>) BottleneckLabel.Mixed "2048 MiB/s"
                Expect.equal (verdict 1073741824.0<B / s> 1073741823.0<B / s>) BottleneckLabel.Balanced "a byte less"

            testCase "what a sample does not know counts as 0"
            <| fun () ->
                let verdict = Bottleneck.ofSample (sampleAt 0.0) derived
                Expect.equal (verdict.Label, verdict.Reason) (BottleneckLabel.Idle, "Low CPU and no GPU telemetry") "idle"
        ]

[<Tests>]
let tests = testList "Bottleneck" [ withoutGpu; withKnownGpu; figures; ofSamples ]
