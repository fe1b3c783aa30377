/// The real agent as a process of its own.
module Agent.TestSupport.AgentProcess

open System
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.Waiting

/// The token of every run; it is looked for in everything that an agent prints.
[<Literal>]
let Token = "t0k3n-of-the-tests"

/// The agent under test: AGENT_BINARY, else the built one.
let binary: Lazy<string> = lazy (builtProgram "Agent.Host" "ai-dashboard-agent" "AGENT_BINARY")

/// A running agent, which must not print the token.
type AgentProcess(words: string list, environment: (string * string) list) =
    inherit ProgramProcess(binary.Value, words, environment, Secrets = [ Token ])

/// The words that name this server; the token comes by the environment.
let targetOf (url: string) : string list =
    [ "--host"; url; "--server-slug"; "gpu-box-01" ]

/// Starts an agent with these words, and these variables beside the world's and the token's; a variable of the same name
/// replaces.
let startWith (variables: (string * string) list) (words: string list) : AgentProcess =
    let kept =
        ("AI_DASHBOARD_TOKEN", Token) :: World.environment ()
        |> List.filter (fun (name, _) -> not (List.exists (fst >> (=) name) variables))

    new AgentProcess(words, kept @ variables)

/// Starts an agent with these words.
let start (words: string list) : AgentProcess = startWith [] words

/// Starts an agent with these variables and nothing else in its environment.
let startBare (variables: (string * string) list) (words: string list) : AgentProcess = new AgentProcess(words, variables)

/// What an agent that ends by itself printed, and its exit code.
let runWith (variables: (string * string) list) (words: string list) : int * string list * string list =
    use agent = startWith variables words
    let code = agent.WaitForEnd patience
    code, agent.Output, agent.Errors

/// What an agent that ends by itself printed, and its exit code.
let run (words: string list) : int * string list * string list = runWith [] words
