/// Who listens to what happens to the fleet, and how much is kept for somebody who listens slowly.
module Agent.Dashboard.Tests.HubTests

open Agent.Dashboard.Web
open Agent.Shell
open Expecto

let private hubTests =
    [
        testCase "256 messages wait for somebody who listens slowly, and the oldest of more are lost"
        <| fun () ->
            let hub = Hub(AgentClock())
            let listener = hub.Listen null

            for _ in 1..256 do
                hub.TellRegistrations()

            Expect.isFalse (listener.HasLost()) "256"
            hub.TellRegistrations()
            Expect.isTrue (listener.HasLost()) "257"
    ]

[<Tests>]
let tests = testList "Limits" [ testList "listeners" hubTests ]
