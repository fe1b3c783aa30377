/// The contract, against the real dashboard.
module Agent.Dashboard.Tests.ContractTests

open Expecto

[<Tests>]
let tests =
    // One after the other: most tests look at the newest sample of a server that they share.
    let ofTheShared =
        [
            RequestTests.tests
            BodyTests.tests
            DerivedTests.tests
            HistoryTests.tests
            VerdictTests.tests
            AgentTests.tests
            OpenApiTests.tests
            FuzzTests.tests
            testCase "the dashboard lived through all of it, logged no fault and no token, and ends in good order" Shared.stop
        ]

    testList
        "Contract"
        [
            for one in ofTheShared do
                testSequencedGroup "the shared dashboard" one
            // These have dashboards of their own.
            CommandTests.tests
            RetentionTests.tests
        ]
