/// An agent whose token is in a file that gives none.
module Agent.EndToEnd.Tests.TokenTests

open System.IO
open Agent.TestSupport
open Agent.TestSupport.AgentProcess
open Expecto

let private target = [ "--host=http://h"; "--server-slug=a" ]

[<Tests>]
let tests =
    testList
        "TokenSource"
        [
            testCase "the agent ends with exit code 2 when a file gives no token, and names flag and file alone"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "token")
                    File.WriteAllText(path, "top s3cr3t")
                    File.SetUnixFileMode(path, UnixFileMode.UserRead ||| UnixFileMode.UserWrite)
                    let variables = [ "AI_DASHBOARD_TOKEN", ""; "CREDENTIALS_DIRECTORY", directory ]
                    let expected = "the token contains white space, control or non-ASCII characters"

                    Expect.equal
                        (runWith variables (target @ [ "--token-file"; path ]))
                        (2, [], [ $"ai-dashboard-agent: --token-file: {path}: {expected}" ])
                        "garbled"

                    Expect.equal
                        (runWith variables target)
                        (2,
                         [],
                         [
                             "ai-dashboard-agent: Missing --token or --token-file (or AI_DASHBOARD_TOKEN, AI_DASHBOARD_TOKEN_FILE)"
                         ])
                        "an absent credential")
        ]
