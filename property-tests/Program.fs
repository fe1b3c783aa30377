module Agent.PropertyTests.Program

open System
open Agent.TestSupport
open Expecto

let private tests =
    testList
        "Laws"
        [
            Proc.StatLaws.tests
            Proc.MemInfoLaws.tests
            Proc.DiskStatsLaws.tests
            Proc.NetDevLaws.tests
            Proc.CpuInfoLaws.tests
            Proc.MountsLaws.tests
            Proc.SmallFileLaws.tests
            Sys.SensorLaws.tests
            Jobs.JobFileLaws.tests
            Jobs.JobLaws.tests
            Jobs.SlurmStepLaws.tests
            Gpu.NvidiaSmiLaws.tests
            Gpu.NvidiaSmiStreamLaws.tests
            Gpu.NvmlLaws.tests
            Gpu.NvmlWorkLaws.tests
            Gpu.GpuLaws.tests
            Gpu.BothReadersLaws.tests
            IpmiLaws.tests
            DevicesLaws.tests
            ScheduleLaws.tests
            UnitsLaws.tests
            CpuUsageLaws.tests
            SampleLaws.tests
            DerivedLaws.tests
            BottleneckLaws.tests
            VerdictLaws.tests
            SystemInfoLaws.tests
            JsonLaws.tests
            WireLaws.tests
            DeliveryLaws.tests
            HttpLaws.tests
            HappyEyeballsLaws.tests
            SpoolLaws.tests
            AdviceLaws.tests
            CollectorLaws.tests
            ExpositionLaws.tests
            JobAccountLaws.tests
            RemoteWriteLaws.tests
            OtlpLaws.tests
            CliLaws.tests
            RepetitionLaws.tests
            testList
                "Dashboard"
                [
                    Dashboard.StoreLaws.tests
                    Dashboard.StorageLaws.tests
                    Dashboard.HistoryLaws.tests
                    Dashboard.VerdictLaws.tests
                    Dashboard.IntakeLaws.tests
                    Dashboard.LimitLaws.tests
                    Dashboard.DeltaLaws.tests
                    Dashboard.AccessLaws.tests
                    Dashboard.EnrolmentLaws.tests
                    Dashboard.RegistrationLaws.tests
                    Dashboard.AlertLaws.tests
                    Dashboard.NoticeLaws.tests
                    Dashboard.ClusterLaws.tests
                    Dashboard.RelayLaws.tests
                    Dashboard.StateLaws.tests
                ]
        ]

[<EntryPoint>]
let main arguments =
    World.enter ()
    let struct (n, m) = Laws.seed
    printfn $"Laws: %d{Laws.cases} cases each, AGENT_TEST_SEED=\"{n},{m}\""
    let exitCode = runTestsWithCLIArgs [] arguments tests
    let struct (laws, cases) = Laws.ran ()
    printfn $"Laws: %d{laws} properties, %d{cases} generated cases"
    exitCode
