/// Tests that need something a machine may lack. Such a test is counted as skipped and says why.
module Agent.TestSupport.Skip

open System
open Expecto

/// Ends the test that calls it as skipped, in CI too: for data that lies beside some clones and that no set-up brings.
let always (reason: string) : unit =
    printfn $"skipped: {reason}"
    skiptest reason

/// Ends the test that calls it: skipped with the reason, or failed where CI=true promises that everything was installed.
let because (reason: string) : unit =
    if String.Equals(Environment.GetEnvironmentVariable "CI", "true", StringComparison.OrdinalIgnoreCase) then
        failtest $"not allowed to skip with CI=true: {reason}"
    else
        always reason
