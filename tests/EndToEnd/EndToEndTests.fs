module Agent.Tests.EndToEnd.EndToEndTests

open Expecto

[<Tests>]
let tests =
    testList
        "EndToEnd"
        [
            RequestTests.tests
            FailureTests.tests
            RunTests.tests
            SourceTests.tests
            ServiceTests.tests
            GridTests.tests
            TlsTests.tests
            FaultTests.tests
            MetricsTests.tests
            DashboardTests.tests
        ]
