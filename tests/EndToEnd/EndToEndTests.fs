module Agent.EndToEnd.Tests.EndToEndTests

open Expecto

[<Tests>]
let tests =
    testList
        "EndToEnd"
        [
            RequestTests.tests
            HygieneTests.tests
            FailureTests.tests
            RunTests.tests
            SourceTests.tests
            NvidiaSmiTests.tests
            LimitTests.tests
            ServiceTests.tests
            GridTests.tests
            TlsTests.tests
            FaultTests.tests
            GpuTests.tests
            SlurmTests.tests
            WhyTests.tests
            CostTests.tests
            MetricsTests.tests
            RemoteWriteTests.tests
            OtlpTests.tests
            DashboardTests.tests
        ]
