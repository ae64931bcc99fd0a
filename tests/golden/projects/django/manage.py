# stands for a project
