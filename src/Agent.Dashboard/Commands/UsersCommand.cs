using Agent.Receiver;
using Agent.Dashboard.Store;
using Agent.Dashboard.Web;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Commands;

/// <summary>The commands about those who may log in. A dashboard that serves takes a change over within two seconds.</summary>
internal sealed class UsersCommand(AgentClock clock, CommandLineProgram program)
{
    /// <summary>Runs the command; the exit code.</summary>
    public int Run(CredentialSettings settings) =>
        CredentialStores.With<User>(settings, Setting.Users, Credentials.Users, Credentials.UsersText, clock, program, (file, place) =>
            settings.Action
                .Match(
                    (name, role) => Add(file, place, name, role),
                    name => Remove(file, place, name),
                    () => file.Read().Select(users => List(users, place)))
                .Match(text => program.Print(text), program.Fail));

    private FSharpResult<string, string> Add(ICredentialStore<User> file, string path, string name, Role role) =>
        from password in PasswordPrompt.Ask(name, program)
        let user = new User(name, role, Passwords.Hash(password))
        from before in file.Change(users => With(users, user))
        select $"{(before.Any(other => other.Name == name) ? "Changed" : "Added")} {name}, {Credentials.RoleName(role)}, in {path}.\n";

    private static FSharpResult<User[], string> With(User[] users, User user) =>
        users.Any(other => other.Name == user.Name)
            ? FSharpResult<User[], string>.NewOk([.. users.Select(other => other.Name == user.Name ? user : other)])
            : users.Length >= Credentials.MostEntries
                ? FSharpResult<User[], string>.NewError($"there are {users.Length} users, which is the maximum")
                : FSharpResult<User[], string>.NewOk([.. users, user]);

    private static FSharpResult<string, string> Remove(ICredentialStore<User> file, string path, string name) =>
        file
            .Change(users => users.Any(user => user.Name == name)
                ? FSharpResult<User[], string>.NewOk([.. users.Where(user => user.Name != name)])
                : FSharpResult<User[], string>.NewError($"there is no user \"{name}\" in \"{path}\"; users list lists them all"))
            .Select(_ => $"Removed {name}.\n");

    private string List(User[] users, string path)
    {
        if (users.Length == 0)
        {
            program.Complain($"there are no users in \"{path}\"; users add NAME adds one");
        }

        return string.Concat(users
            .OrderBy(static user => user.Name, StringComparer.Ordinal)
            .Select(static user => $"{Credentials.RoleName(user.Role),-8} {user.Name}\n"));
    }
}
